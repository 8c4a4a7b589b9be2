"""Kinds as users write them (`deploy/web`, `po`, `sts web db`). Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from weft.errors import Failure

KINDS: dict[str, tuple[str, ...]] = {
    "cronjob": ("cronjobs", "cj"),
    "daemonset": ("daemonsets", "ds"),
    "deployment": ("deployments", "deploy"),
    "job": ("jobs",),
    "namespace": ("namespaces", "ns"),
    "pod": ("pods", "po"),
    "replicaset": ("replicasets", "rs"),
    "service": ("services", "svc"),
    "serviceaccount": ("serviceaccounts", "sa"),
    "statefulset": ("statefulsets", "sts"),
}
"""Each kind with its plural first, then its short form."""

_KNOWN = {name: kind for kind, others in KINDS.items() for name in (kind, *others)}


class Resource(NamedTuple):
    """A kind, or one object of it."""

    kind: str
    name: str = ""

    @property
    def plural(self) -> str:
        """As paths of the Kubernetes API spell the kind."""
        return KINDS[self.kind][0]

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" if self.name else self.kind


def parse(words: Sequence[str]) -> list[Resource]:
    """`TYPE`, `TYPE/NAME …` or `TYPE NAME …`."""
    first, *rest = words
    if "/" in first:
        return [_one(word) for word in words]
    kind = _kind(first)
    if any("/" in word for word in rest):
        raise Failure(f"{' '.join(words)!r} mixes TYPE NAME with TYPE/NAME", "Write each as TYPE/NAME.")
    return [Resource(kind, name) for name in rest] or [Resource(kind)]


def named(words: Sequence[str]) -> Resource:
    """Exactly one resource."""
    found = parse(words)
    if len(found) != 1:
        raise Failure(f"{' '.join(words)!r} names several resources", "Name one, as TYPE/NAME.")
    return found[0]


def is_kind(word: str) -> bool:
    """Whether the word names a kind."""
    return word.lower() in _KNOWN


def _one(word: str) -> Resource:
    kind, slash, name = word.partition("/")
    if not slash or not name or "/" in name:
        raise Failure(f"{word!r} is not TYPE/NAME", "Write for example deploy/web.")
    return Resource(_kind(kind), name)


def _kind(word: str) -> str:
    try:
        return _KNOWN[word.lower()]
    except KeyError:
        raise Failure(f"{word!r} is no kind that weft knows", f"There are: {', '.join(KINDS)}.") from None
