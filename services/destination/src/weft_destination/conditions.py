"""Conditions as Kubernetes writes them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

ACCEPTED, SHADOWED = "Accepted", "Shadowed"
"""Types that routes, profiles and policies have in common."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of an object's status."""

    type: str
    status: bool
    reason: str
    message: str = ""


def written(wanted: Iterable[Condition], held: Any, generation: int, now: str) -> list[Json]:
    """Conditions for a status; one whose status is as held before keeps the time of its last transition."""
    before = {one.get("type"): one for one in held if isinstance(one, dict)} if isinstance(held, list) else {}
    return [_written(one, before.get(one.type, {}), generation, now) for one in wanted]


def _written(one: Condition, before: Json, generation: int, now: str) -> Json:
    status = str(one.status)
    same = before.get("status") == status and before.get("lastTransitionTime")
    return {
        "type": one.type,
        "status": status,
        "reason": one.reason,
        "message": one.message,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if same else now,
    }
