"""What objects say in vain, for people who ask: annotations, routes and profiles that do not hold as written. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from weft_destination.gateway.compiled import MAX_MESSAGE
from weft_destination.gateway.model import Route
from weft_destination.gateway.store import Gateway
from weft_destination.model import Key, Profile, Service
from weft_destination.opaque import Unseen, unseen


@dataclass(frozen=True, slots=True)
class Fault:
    """An object, and what of it does not hold."""

    kind: str
    namespace: str
    name: str
    message: str


class Faults:
    """Of all objects, as they are now."""

    def __init__(
        self, gateway: Gateway, services: Mapping[Key, Service], profiles: Mapping[Key, Profile], by_pods: Unseen
    ) -> None:
        self._gateway = gateway
        self._services = services
        self._profiles = profiles
        self._by_pods = by_pods

    def all(self) -> tuple[Fault, ...]:
        """Of Services, profiles and routes, each in the order of names."""
        keys = sorted({*self._services, *self._profiles})
        routes = [*self._gateway.http_routes.rows.items(), *self._gateway.grpc_routes.rows.items()]
        return (
            *(fault for key in keys for fault in self._service(key)),
            *(fault for _, route in sorted(routes, key=lambda row: row[0]) for fault in self._route(route)),
        )

    def about(self, service: Key) -> tuple[Fault, ...]:
        """Of what says something about this Service."""
        routes = self._gateway.naming(service)
        return (*self._service(service), *(fault for route in routes for fault in self._route(route)))

    def _service(self, key: Key) -> Iterator[Fault]:
        service, profile = self._services.get(key), self._profiles.get(key)
        if service and service.faults:
            yield Fault("Service", *key, "; ".join(service.faults))
        if profile and (fault := profile_fault(profile, self._services, self._by_pods)[1]):
            yield Fault("ServiceProfile", *key, fault)

    def _route(self, route: Route) -> Iterator[Fault]:
        """What its status says beside that all is well."""
        found = [
            f"{condition.type} is {condition.status}: {condition.message}"
            for _, conditions in self._gateway.conditions(route)
            for condition in conditions
            if condition.message
        ]
        if found:
            yield Fault(route.kind, *route.key, "; ".join(dict.fromkeys(found)))


def profile_fault(profile: Profile, services: Mapping[Key, Service], by_pods: Unseen) -> tuple[str, str]:
    """Reason and message of `Accepted: False`; empty when all of the profile holds."""
    if profile.faults:
        return "Invalid", "; ".join(profile.faults)[:MAX_MESSAGE]
    service = services.get(profile.key)
    if service is None:
        return "NoService", f"there is no Service {'/'.join(profile.key)}"
    why = unseen(service, by_pods)
    return ("NoRequests", why[:MAX_MESSAGE]) if why else ("", "")
