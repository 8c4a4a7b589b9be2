"""Policies that are not in the cluster yet, as files give them."""

from collections.abc import Iterator
from typing import Any

import yaml

from weft import sources
from weft.errors import Failure

Json = dict[str, Any]

NOT_SIMULATED = {
    "rateLimit": "spec.rateLimit says how often, not who",
    "egress": "spec.egress is about calls to the outside, and those that are observed come in",
}


def read(filename: str, namespace: str) -> list[Json]:
    """The AccessPolicies of files, also as items of Lists; `namespace` is of those that name none."""
    found = [_placed(one, namespace) for one in _objects(filename) if one.get("kind") == "AccessPolicy"]
    if not found:
        raise Failure(f"{filename} holds no AccessPolicy", "Give a file with at least one.")
    return found


def not_simulated(draft: Json) -> str:
    """Why calls that were observed say nothing of a draft; empty when they do."""
    why = [text for field, text in NOT_SIMULATED.items() if field in (draft.get("spec") or {})]
    return f"{draft['metadata']['namespace']}/{draft['metadata'].get('name')}: {why[0]}" if why else ""


def _objects(filename: str) -> Iterator[Json]:
    for name, text in sources.read(filename):
        try:
            documents = [one for one in yaml.safe_load_all(text) if isinstance(one, dict)]
        except yaml.YAMLError as error:
            raise Failure(f"{name} is no YAML: {error}", "Correct it.") from error
        for one in documents:
            yield one
            if str(one.get("kind")).endswith("List"):
                yield from (item for item in one.get("items") or [] if isinstance(item, dict))


def _placed(draft: Json, namespace: str) -> Json:
    meta = draft.get("metadata") or {}
    return draft | {"metadata": meta | {"namespace": meta.get("namespace") or namespace}}
