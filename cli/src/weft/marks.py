"""Marks for injection that nobody reads: a label where an annotation counts, the other way round, other words. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from weft.names import INJECT, NAMESPACE

WORDS = ("enabled", "disabled")
NEVER = ("kube-system", NAMESPACE)
"""Namespaces whose pods the injector is not asked about."""


def of_namespace(metadata: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a Namespace's, which is a label."""
    word = (metadata.get("labels") or {}).get(INJECT, "")
    if word and word not in WORDS:
        yield f"label {INJECT} of the namespace is {word!r}, not enabled or disabled: no effect"
    if INJECT in (metadata.get("annotations") or {}):
        yield f"{INJECT} is an annotation of the namespace, no label: no effect"


def of_pod(metadata: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a pod's or a template's, which is an annotation: the injector refuses its other words."""
    if INJECT in (metadata.get("labels") or {}):
        yield f"{INJECT} is a label of the pod, no annotation: no effect"
