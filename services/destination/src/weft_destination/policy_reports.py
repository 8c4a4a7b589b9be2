"""What the status of policies says. Pure."""

from collections.abc import Mapping

from weft_destination.conditions import ACCEPTED, SHADOWED, Condition, Json, written
from weft_destination.model import Key, Service
from weft_destination.policy.model import Policy
from weft_destination.policy.state import Policies
from weft_destination.policy.status import Status


class PolicyReports:
    """Statuses of AccessPolicies."""

    def __init__(self, rows: Mapping[Key, Policy], policies: Policies, services: Mapping[Key, Service]) -> None:
        self._rows = rows
        self._policies = policies
        self._services = services

    def take_restated(self) -> set[str]:
        """Namespaces whose policies may have another status since the last call."""
        return self._policies.take_restated()

    def wanted(self, key: Key, held: Json, generation: int, now: str) -> Json | None:
        """What it should be; None: as it is."""
        policy = self._rows.get(key)
        if policy is None:
            return None
        services = [name for namespace, name in self._services if namespace == key[0]]
        found = self._policies.status(policy, services)
        before = held.get("conditions")
        status = {"pods": found.pods, "conditions": written(conditions(found), before, generation, now)}
        return None if status == {name: held.get(name) for name in status} else status


def conditions(found: Status) -> list[Condition]:
    """Accepted, Resolved, Shadowed."""
    if found.fault:
        return [Condition(ACCEPTED, False, "Invalid", f"in force nowhere: {found.fault}")]
    reason, message = found.unresolved
    shadowed = f"decided before by {found.shadowed}" if found.shadowed else ""
    return [
        Condition(ACCEPTED, True, ACCEPTED),
        Condition("Resolved", not reason, reason or "Resolved", message),
        Condition(SHADOWED, bool(shadowed), "DecidedBefore" if shadowed else "NotShadowed", shadowed),
    ]
