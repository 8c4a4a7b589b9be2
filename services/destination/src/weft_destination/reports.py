"""What users are to be told: statuses as they are and should be, faults of Services. Pure."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from weft_destination.conditions import ACCEPTED, SHADOWED, Condition, Json, written
from weft_destination.faults import profile_fault
from weft_destination.gateway.model import CONTROLLER, Parent, Route
from weft_destination.gateway.store import Gateway, looks
from weft_destination.model import Key, Profile, Service
from weft_destination.opaque import Unseen
from weft_destination.policy_reports import PolicyReports

POLICY, PROFILE = "AccessPolicy", "ServiceProfile"
LISTED = 5


class Subject(NamedTuple):
    """An object with a status."""

    kind: str
    key: Key


@dataclass(frozen=True, slots=True)
class Seen:
    """An object's status as it is; `version` is the resourceVersion to which that holds."""

    version: str
    generation: int
    status: Json


Wanted = Callable[[Key, Seen, str], Json | None]
"""What a status should be at a time (RFC 3339); None: as it is."""


class Reports:
    """Statuses as they are, and which of them may be out of date."""

    def __init__(
        self,
        gateway: Gateway,
        services: Mapping[Key, Service],
        profiles: Mapping[Key, Profile],
        policies: PolicyReports,
        by_pods: Unseen,
    ) -> None:
        self._gateway = gateway
        self._services = services
        self._profiles = profiles
        self._by_pods = by_pods
        self._policies = policies
        self._faulty: dict[Key, None] = {}
        self._seen: dict[Subject, Seen] = {}
        self._stale: dict[Subject, None] = {}
        self._wanted: dict[str, Wanted] = {
            "HTTPRoute": lambda key, seen, now: self._route(self._gateway.http_routes.rows.get(key), seen, now),
            "GRPCRoute": lambda key, seen, now: self._route(self._gateway.grpc_routes.rows.get(key), seen, now),
            PROFILE: self._profile,
            POLICY: lambda key, seen, now: self._policies.wanted(key, seen.status, seen.generation, now),
        }

    def note(self, subject: Subject, seen: Seen) -> None:
        """The object is so now."""
        before = self._seen.get(subject)
        self._seen[subject] = seen
        if before is None or (before.generation, before.status) != (seen.generation, seen.status):
            self._stale[subject] = None

    def gone(self, subject: Subject) -> None:
        """The object is no more."""
        self._seen.pop(subject, None)
        self._stale.pop(subject, None)

    def keep(self, kind: str, left: Collection[Subject]) -> None:
        """Of this kind there are only these."""
        for subject in [one for one in self._seen if one.kind == kind and one not in left]:
            self.gone(subject)

    def all(self) -> None:
        """Each may be out of date: nobody looked until now."""
        self._stale = dict.fromkeys(self._seen)
        self.all_faulty()

    def all_faulty(self) -> None:
        """Each Service with faults is to be told again."""
        self._faulty = {key: None for key, service in self._services.items() if service.faults}

    def tell_later(self, service: Service) -> None:
        """This one could not be told."""
        self._faulty[service.key] = None

    def forget(self) -> None:
        """What may be out of date, while nobody here writes: who begins to looks at everything."""
        self._gateway.take_restated()
        self._policies.take_restated()
        self._stale, self._faulty = {}, {}

    def service_changed(self, before: Service | None, after: Service | None) -> None:
        """A Service's annotations may have other faults, and its profile another Service."""
        if after and after.faults and (before is None or (before.uid, before.faults) != (after.uid, after.faults)):
            self._faulty[after.key] = None
        if (one := after or before) and looks(before) != looks(after):
            self.restate(one.key)

    def restate(self, service: Key) -> None:
        """The status of its profile may have changed."""
        if (profile := Subject(PROFILE, service)) in self._seen:
            self._stale[profile] = None

    def take_faulty(self) -> list[Service]:
        """Those whose annotations have faults that were not taken yet."""
        faulty, self._faulty = self._faulty, {}
        return [service for key in faulty if (service := self._services.get(key)) and service.faults]

    def later(self, subject: Subject) -> None:
        """This one is to be looked at again."""
        self._stale[subject] = None

    def take_stale(self) -> list[Subject]:
        """Those that may be out of date since the last call."""
        for service, routes in self._gateway.take_restated().items():
            self._stale.update((Subject(route.kind, route.key), None) for route in routes)
            self._stale[Subject(PROFILE, service)] = None
        if restated := self._policies.take_restated():
            self._stale.update((one, None) for one in self._seen if one.kind == POLICY and one.key[0] in restated)
        stale, self._stale = self._stale, {}
        return [subject for subject in stale if subject in self._seen]

    def wanted(self, subject: Subject, now: str) -> tuple[Seen, Json] | None:
        """An object's status as it is and as it should be; None when that is the same, or the object is gone."""
        seen = self._seen.get(subject)
        status = self._wanted[subject.kind](subject.key, seen, now) if seen else None
        return (seen, status) if seen and status is not None else None

    def _route(self, route: Route | None, seen: Seen, now: str) -> Json | None:
        """status.parents: others' entries as they are, then ours."""
        if route is None:
            return None
        parents = seen.status.get("parents")
        held = [one for one in parents if isinstance(one, dict)] if isinstance(parents, list) else []
        ours = [one for one in held if one.get("controllerName") == CONTROLLER]
        wanted = [
            _entry(parent, conditions, ours, route.generation, now)
            for parent, conditions in self._gateway.conditions(route)
        ]
        return None if wanted == ours else {"parents": [one for one in held if one not in ours] + wanted}

    def _profile(self, key: Key, seen: Seen, now: str) -> Json | None:
        listed = seen.status.get("conditions")
        held = listed if isinstance(listed, list) else []
        before = [one for one in held if one.get("type") in (ACCEPTED, SHADOWED)]
        conditions = self._of_profile(key, {one["type"] for one in before})
        wanted = written(conditions, before, seen.generation, now)
        return None if wanted == before else {"conditions": [one for one in held if one not in before] + wanted}

    def _of_profile(self, key: Key, told: Collection[str]) -> Iterator[Condition]:
        """What is not as usual, and what was told before."""
        profile = self._profiles.get(key)
        reason, fault = profile_fault(profile, self._services, self._by_pods) if profile else ("", "")
        if fault or ACCEPTED in told:
            yield Condition(ACCEPTED, not fault, reason or ACCEPTED, fault)
        holders = "; ".join(self._holders(key))
        if holders or SHADOWED in told:
            yield Condition(SHADOWED, bool(holders), "RouteAttached" if holders else "NoRouteAttached", holders)

    def _holders(self, service: Key) -> Iterable[str]:
        """Which routes hold instead of a profile, of which ports, for whom."""
        for group, compiled in self._gateway.groups(service):
            whose = f" for clients of {group.clients}" if group.clients else ""
            for port, routes in compiled.holders().items():
                more = f" and {len(routes) - LISTED} more" if len(routes) > LISTED else ""
                yield f"port {port} is held by {', '.join(routes[:LISTED])}{more}{whose}"


def _entry(parent: Parent, conditions: Iterable[Condition], ours: list[Json], generation: int, now: str) -> Json:
    ref: Json = {"group": parent.group, "kind": parent.kind, "namespace": parent.namespace, "name": parent.name}
    ref |= {"port": parent.port} if parent.port else {}
    ref |= {"sectionName": parent.section} if parent.section else {}
    before = next((one for one in ours if one.get("parentRef") == ref), {})
    return {
        "parentRef": ref,
        "controllerName": CONTROLLER,
        "conditions": written(conditions, before.get("conditions"), generation, now),
    }
