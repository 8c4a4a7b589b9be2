"""The routes of one Service and one group of clients together: ordered rules for each port, and what each route's
status says."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from weft_destination.conditions import ACCEPTED, Condition
from weft_destination.gateway.attach import Attachment, attach
from weft_destination.gateway.model import BackendRef, Parent, Route, Rule
from weft_destination.gateway.routes import Entry, dead_end, told
from weft_destination.model import Key, Service
from weft_destination.opaque import Unseen
from weft_destination.route import Route as ToldRoute
from weft_destination.route import Settings

MAX_MATCHES = 1024
MAX_BYTES = 2**20
"""Of one port and group of clients: younger routes beyond either are refused, or one team's could fill a proxy."""

ORDER = ("GRPCRoute", "HTTPRoute")
"""Of kinds attached to the same port, the first one holds (GEP-1294)."""

MAX_MESSAGE = 2000

Services: TypeAlias = Mapping[Key, Service]
Permits: TypeAlias = Callable[[Route, BackendRef], bool]
"""Does a ReferenceGrant let the route name the backend?"""


class Group(NamedTuple):
    """A Service, and whose requests to it: those of a namespace by their own routes ("consumer"), or "", everybody's
    others."""

    service: Key
    clients: str = ""


def compile_group(group: Group, routes: Iterable[Route], services: Services, permits: Permits) -> "Compiled":
    """The routes of a group, in whatever order they come.

    A backend in another namespace than the route's needs a ReferenceGrant where the route moves requests of others:
    they carry those clients' identities. A consumer's route moves only requests that its namespace could send itself.
    """
    permitted = permits if not group.clients else lambda _route, _backend: True
    service = services.get(group.service)
    ports: defaultdict[int, _Port] = defaultdict(_Port)
    for route in sorted(routes, key=lambda route: (ORDER.index(route.kind), route.age)):
        for parent in route.parents if not _broken(route) else ():
            for port in attach(parent, service).ports if parent.service == group.service else ():
                ports[port].take(route)
    return Compiled(service, ports, lambda route: _resolved(route, services, permitted))


class Compiled:
    """The result. Only what holds a port is looked at closely: a route beyond the limits costs next to nothing."""

    def __init__(
        self, service: Service | None, ports: "Mapping[int, _Port]", resolve: Callable[[Route], Route]
    ) -> None:
        self._service = service
        self._ports = ports
        self._resolve = resolve
        held = {id(route): route for port in ports.values() for route in port.routes.values()}
        self.routes = tuple(held.values())
        """Those that hold a port."""
        resolved = {key: resolve(route) for key, route in held.items()}
        self._entries = {port: held.ordered(resolved) for port, held in ports.items() if held.routes}
        self._told: dict[int, tuple[Settings, tuple[ToldRoute, ...]]] = {}

    def holds(self, port: int) -> bool:
        """Do routes decide what becomes of requests to this port?"""
        return port in self._entries

    def holders(self) -> dict[int, list[str]]:
        """The routes that hold each port, by kind and name."""
        return {
            port: [f"{route.kind} {route.namespace}/{route.name}" for route in held.routes.values()]
            for port, held in self._ports.items()
            if held.routes
        }

    def told(self, port: int, defaults: Settings) -> tuple[ToldRoute, ...]:
        """What proxies are told of a port: the same object for all who ask."""
        if port not in self._told or self._told[port][0] != defaults:
            self._told[port] = defaults, tuple(told(self._entries[port], defaults))
        return self._told[port][1]

    def conditions(self, route: Route, parent: Parent, unseen: Unseen) -> tuple[Condition, ...]:
        """What the status of a route of this group says of a parent."""
        attachment = attach(parent, self._service)
        refused = [port for port in attachment.ports if id(route) not in self._ports[port].routes]
        held = [port for port in self._service.ports if port.port in attachment.ports] if self._service else []
        ignored = [*filter(None, (unseen(parent.service, port) for port in held)), *_ignored(route)]
        return tuple(_conditions(self._resolve(route), attachment, refused, self._ports, ignored))


class _Port:
    """The routes that hold a port, as far as there is room."""

    def __init__(self) -> None:
        self.routes: dict[int, Route] = {}
        self.kind = ""
        self._matches = 0
        self._bytes = 0

    def take(self, route: Route) -> None:
        """Holds the route too, if it is of the kind that holds the port and there is room for it."""
        matches = self._matches + sum(len(rule.matches) for rule in route.rules)
        size = self._bytes + sum(map(_size, route.rules))
        fits = matches <= MAX_MATCHES and size <= MAX_BYTES
        if id(route) in self.routes or self.kind not in ("", route.kind) or not fits:
            return
        self.routes[id(route)] = route
        self.kind, self._matches, self._bytes = route.kind, matches, size

    def ordered(self, resolved: Mapping[int, Route]) -> tuple[Entry, ...]:
        """By rank; of equals the oldest route's, then the earlier rule's: sorting is stable."""
        entries = [
            (ranked.rank, Entry(ranked.match, rule, route))
            for route in map(resolved.__getitem__, self.routes)
            for rule in route.rules
            for ranked in rule.matches
        ]
        return tuple(entry for _, entry in sorted(entries, key=lambda one: one[0], reverse=True))


def _size(rule: Rule) -> int:
    """Bytes in an update, at most: a rule stands there with each of its matches, if others' come between."""
    return rule.size * len(rule.matches) + sum(ranked.cost for ranked in rule.matches)


def _broken(route: Route) -> bool:
    """No rule can be done as it says."""
    return all(rule.fault for rule in route.rules)


def _resolved(route: Route, services: Services, permits: Permits) -> Route:
    rules = (
        replace(rule, backends=tuple(_checked(route, backend, services, permits) for backend in rule.backends))
        for rule in route.rules
    )
    return replace(route, rules=tuple(rules))


def _checked(route: Route, backend: BackendRef, services: Services, permits: Permits) -> BackendRef:
    if backend.fault:
        return backend
    full = f"{backend.namespace}/{backend.name}"
    service = services.get((backend.namespace, backend.name))
    if backend.namespace != route.namespace and not permits(route, backend):
        fault = f"RefNotPermitted: no ReferenceGrant of namespace {backend.namespace} lets the route name {full}"
    elif service is None or service.external:
        fault = f"BackendNotFound: there is no Service {full} with endpoints of its own"
    elif service.port(backend.port) is None:
        known = ", ".join(str(port.port) for port in service.ports)
        fault = f"BackendNotFound: Service {full} has no TCP port {backend.port}; it has {known or 'none'}"
    else:
        return backend
    return replace(backend, fault=fault)


def _conditions(
    route: Route, attachment: Attachment, refused: list[int], ports: Mapping[int, _Port], ignored: list[str]
) -> Iterator[Condition]:
    accepted = _accepted(route, attachment, refused, ports, ignored)
    yield accepted
    yield _resolved_refs(route)
    dropped = "; ".join(text for rule in route.rules for text in _dropped(rule))
    if accepted.status and dropped:
        yield Condition("PartiallyInvalid", True, "UnsupportedValue", dropped[:MAX_MESSAGE])


def _dropped(rule: Rule) -> Iterator[str]:
    if rule.fault:
        instead = "are answered with 500" if rule.matches else "fall to other rules"
        yield f"Dropped Rule {rule.name}, its requests {instead}: {rule.fault}"
    if rule.dropped:
        yield f"Dropped Rule {rule.name} in part, those requests fall to other rules: {'; '.join(rule.dropped)}"


def _accepted(
    route: Route, attachment: Attachment, refused: list[int], ports: Mapping[int, _Port], ignored: list[str]
) -> Condition:
    if not attachment.ports:
        return Condition(ACCEPTED, False, attachment.reason, attachment.message)
    if _broken(route):
        faults = "; ".join(rule.fault for rule in route.rules)
        return Condition(ACCEPTED, False, "UnsupportedValue", faults[:MAX_MESSAGE])
    if not refused:
        return Condition(ACCEPTED, True, ACCEPTED, "; ".join(ignored)[:MAX_MESSAGE])
    reason, message = _refusal(route, refused, ports)
    if len(refused) < len(attachment.ports):
        found = (f"not everywhere: {message}", *ignored)
        return Condition(ACCEPTED, True, ACCEPTED, "; ".join(found)[:MAX_MESSAGE])
    return Condition(ACCEPTED, False, reason, message)


def _ignored(route: Route) -> Iterator[str]:
    """What an accepted route says in vain."""
    if route.hostnames:
        yield "hostnames are ignored: requests are told apart by ClusterIP and port"
    yield from route.faults


def _refusal(route: Route, refused: list[int], ports: Mapping[int, _Port]) -> tuple[str, str]:
    where = f"port {', '.join(map(str, refused))}"
    other = ports[refused[0]].kind
    if other not in ("", route.kind):
        return "Conflicted", f"a {other} holds {where}"
    return "TooManyMatches", f"with older routes more than {MAX_MATCHES} matches or {MAX_BYTES // 2**20} MiB on {where}"


def _resolved_refs(route: Route) -> Condition:
    faults = [backend.fault for rule in route.rules for backend in rule.backends if backend.fault]
    nowhere = [f"{rule.name}: {why}" for rule in route.rules if (why := dead_end(rule))]
    messages = "; ".join(dict.fromkeys([*(fault.partition(": ")[2] for fault in faults), *nowhere]))[:MAX_MESSAGE]
    if faults:
        return Condition("ResolvedRefs", False, faults[0].partition(":")[0], messages)
    return Condition("ResolvedRefs", True, "ResolvedRefs", messages)
