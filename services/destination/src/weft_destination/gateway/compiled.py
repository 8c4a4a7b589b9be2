"""All routes together: ordered rules for each Service port and client, and the status of each route's parents."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from weft_destination.gateway.attach import Attachment, Services, attach
from weft_destination.gateway.model import Backend, Condition, Grant, Match, Parent, Redirect, Route, Rule

MAX_MATCHES = 1024
"""Of one Service port and client namespace: younger routes beyond are refused, or one team's could fill a proxy."""

ORDER = ("GRPCRoute", "HTTPRoute")
"""Of kinds attached to the same port, the first one holds."""


@dataclass(frozen=True, slots=True)
class Frontend:
    """A port that clients dial. `clients` is the namespace of consumer routes, "" for the producer's."""

    namespace: str
    name: str
    port: int
    clients: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A match and its rule; the first entry that matches a request decides."""

    match: Match
    rule: Rule


@dataclass(frozen=True, slots=True)
class ParentStatus:
    """What status.parents[] says of one parentRef."""

    route: Route
    parent: Parent
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The result."""

    entries: Mapping[Frontend, tuple[Entry, ...]] = field(default_factory=dict)
    statuses: tuple[ParentStatus, ...] = ()

    def routes(self, namespace: str, name: str, port: int, client: str) -> tuple[Entry, ...] | None:
        """For a client of this namespace: its own consumer routes, else the producer's; None when there are none."""
        own = self.entries.get(Frontend(namespace, name, port, client))
        return own if own is not None else self.entries.get(Frontend(namespace, name, port))


def compile_routes(routes: Iterable[Route], services: Services, grants: Collection[Grant] | None = None) -> Table:
    """Every route, in whatever order.

    GEP-1294 wants no ReferenceGrant in a mesh; with `grants` given, backends in other namespaces need one.
    """
    oldest = [_resolved(route, services, grants) for route in sorted(routes, key=lambda route: route.age)]
    attached = {(id(route), parent): attach(parent, services) for route in oldest for parent in route.parents}
    holders: defaultdict[Frontend, list[Route]] = defaultdict(list)
    for route in sorted(oldest, key=lambda route: ORDER.index(route.kind)):
        for parent in route.parents if not _broken(route) else ():
            for port in attached[id(route), parent].ports:
                frontend = _frontend(route, parent, port)
                if route not in holders[frontend] and _fits(holders[frontend], route):
                    holders[frontend].append(route)
    entries = {frontend: _ordered(held) for frontend, held in holders.items()}
    statuses = (
        ParentStatus(route, parent, tuple(_conditions(route, parent, attached[id(route), parent], holders)))
        for route in oldest
        for parent in route.parents
    )
    return Table(entries, tuple(statuses))


def _frontend(route: Route, parent: Parent, port: int) -> Frontend:
    clients = "" if route.namespace == parent.namespace else route.namespace
    return Frontend(parent.namespace, parent.name, port, clients)


def _fits(held: list[Route], route: Route) -> bool:
    if held and held[0].kind != route.kind:
        return False
    return sum(map(_matches, [*held, route])) <= MAX_MATCHES


def _matches(route: Route) -> int:
    return sum(len(rule.matches) for rule in route.rules)


def _broken(route: Route) -> bool:
    """No rule can be done as it says."""
    return all(rule.fault for rule in route.rules)


def _ordered(held: list[Route]) -> tuple[Entry, ...]:
    """By rank; of equals the oldest route's, then the earlier rule's: sorting is stable."""
    entries = [
        Entry(match, rule)
        for route in sorted(held, key=lambda route: route.age)
        for rule in route.rules
        for match in rule.matches
    ]
    return tuple(sorted(entries, key=lambda entry: [-number for number in entry.match.rank]))


def _resolved(route: Route, services: Services, grants: Collection[Grant] | None) -> Route:
    rules = (
        replace(rule, backends=tuple(_checked(route, backend, services, grants) for backend in rule.backends))
        for rule in route.rules
    )
    return replace(route, rules=tuple(map(_with_answer, rules)))


def _with_answer(rule: Rule) -> Rule:
    """A rule that sends nothing anywhere answers 500, and says why."""
    if rule.fault or any(isinstance(one, Redirect) for one in rule.filters) or any(b.weight for b in rule.backends):
        return rule
    why = "the weights of all backends are 0" if rule.backends else "no backendRefs and no redirect"
    return replace(rule, backends=(*rule.backends, Backend("", "", 0, 1, fault=f"NoBackend: {why}")))


def _checked(route: Route, backend: Backend, services: Services, grants: Collection[Grant] | None) -> Backend:
    if backend.fault:
        return backend
    full = f"{backend.namespace}/{backend.name}"
    service = services.get((backend.namespace, backend.name))
    if not _permitted(route, backend, grants):
        fault = f"RefNotPermitted: no ReferenceGrant of namespace {backend.namespace} lets the route name {full}"
    elif service is None or service.external:
        fault = f"BackendNotFound: there is no Service {full} with endpoints of its own"
    elif backend.port not in service.ports:
        known = ", ".join(map(str, sorted(service.ports)))
        fault = f"BackendNotFound: Service {full} has no port {backend.port}; it has {known or 'none'}"
    else:
        return backend
    return replace(backend, fault=fault)


def _permitted(route: Route, backend: Backend, grants: Collection[Grant] | None) -> bool:
    if grants is None or backend.namespace == route.namespace:
        return True
    wanted = (route.kind, route.namespace, backend.namespace)
    return any(
        (grant.kind, grant.from_namespace, grant.to_namespace) == wanted and grant.name in ("", backend.name)
        for grant in grants
    )


def _conditions(
    route: Route, parent: Parent, attachment: Attachment, holders: Mapping[Frontend, list[Route]]
) -> Iterable[Condition]:
    faults = [rule.fault for rule in route.rules if rule.fault]
    yield _accepted(route, parent, attachment, holders, faults)
    yield _resolved_refs(route)
    if faults and not _broken(route):
        message = f"{'; '.join(faults)}: requests of such a rule are answered with 500"
        yield Condition("PartiallyInvalid", True, "UnsupportedValue", message)


def _accepted(
    route: Route,
    parent: Parent,
    attachment: Attachment,
    holders: Mapping[Frontend, list[Route]],
    faults: list[str],
) -> Condition:
    if not attachment.ports:
        return Condition("Accepted", False, attachment.reason, attachment.message)
    if _broken(route):
        return Condition("Accepted", False, "UnsupportedValue", "; ".join(faults))
    refused = [port for port in attachment.ports if route not in holders[_frontend(route, parent, port)]]
    if not refused:
        ignored = "hostnames are ignored: requests are told apart by ClusterIP and port" if route.hostnames else ""
        return Condition("Accepted", True, "Accepted", ignored)
    held = holders[_frontend(route, parent, refused[0])]
    other = held[0].kind != route.kind if held else False
    cause = f"a {held[0].kind} holds" if other else f"more than {MAX_MATCHES} matches: older routes hold"
    message = f"{cause} port {', '.join(map(str, refused))} of {parent.namespace}/{parent.name}"
    if len(refused) < len(attachment.ports):
        return Condition("Accepted", True, "Accepted", f"not everywhere: {message}")
    return Condition("Accepted", False, "Conflicted" if other else "TooManyMatches", message)


def _resolved_refs(route: Route) -> Condition:
    faults = [backend.fault for rule in route.rules for backend in rule.backends if backend.fault]
    references = [fault for fault in faults if not fault.startswith("NoBackend")]
    messages = "; ".join(dict.fromkeys(fault.partition(": ")[2] for fault in faults))
    if references:
        return Condition("ResolvedRefs", False, references[0].partition(":")[0], messages)
    return Condition("ResolvedRefs", True, "ResolvedRefs", messages)
