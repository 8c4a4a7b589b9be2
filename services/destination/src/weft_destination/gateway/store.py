"""Every route and grant, compiled group by group: a change costs what the routes of the Services it names cost."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from weft_destination.conditions import Condition
from weft_destination.gateway.compiled import Compiled, Group, Services, compile_group
from weft_destination.gateway.model import BackendRef, Grant, Grants, Parent, Route
from weft_destination.model import Key, Service
from weft_destination.opaque import Unseen
from weft_destination.route import Route as ToldRoute
from weft_destination.route import Settings
from weft_destination.tables import Table

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class Gateway:
    """Three tables, and what follows for each Service. `touched` is told each Service whose rules may have changed;
    `unseen` says why requests to a port are not seen, empty when they are."""

    def __init__(self, services: Services, touched: Callable[[Key], None], unseen: Unseen) -> None:
        self.http_routes: Table[Route] = Table(self._route_changed)
        self.grpc_routes: Table[Route] = Table(self._route_changed)
        self.grants: Table[Grants] = Table(self._grants_changed)
        self._services = services
        self._touched = touched
        self._unseen = unseen
        self._members: dict[Group, dict[tuple[str, Key], Route]] = {}
        self._groups_of: dict[Key, dict[Group, None]] = {}
        """By the Service that is their parent."""
        self._routes_to: dict[Key, dict[tuple[str, Key], Route]] = {}
        """By the Service that is a backend of theirs."""
        self._grants_in: dict[str, dict[Key, Grants]] = {}
        self._compiled: dict[Group, Compiled] = {}
        self._restated: dict[Group, None] = {}

    def routes(self, service: Key, port: int, client: str, defaults: Settings) -> tuple[ToldRoute, ...] | None:
        """For a client of this namespace: by its own routes, else by the Service's; None when there are none."""
        for group in (Group(service, client), Group(service)):
            if group in self._members and (compiled := self._compile(group)).holds(port):
                return compiled.told(port, defaults)
        return None

    def attached(self, service: Key) -> tuple[Route, ...]:
        """The routes that hold a port of a Service for everybody."""
        group = Group(service)
        return self._compile(group).routes if group in self._members else ()

    def groups(self, service: Key) -> Iterator[tuple[Group, Compiled]]:
        """All groups of clients that routes make of a Service's."""
        for group in self._groups_of.get(service, ()):
            yield group, self._compile(group)

    def naming(self, service: Key) -> list[Route]:
        """Routes that name the Service as a parent, whether they hold or not."""
        return [route for group in self._groups_of.get(service, ()) for route in self._members[group].values()]

    def conditions(self, route: Route) -> list[tuple[Parent, tuple[Condition, ...]]]:
        """What status says of each parent."""
        groups = ((parent, Group(parent.service, route.clients(parent))) for parent in route.parents)
        return [(parent, self._compile(group).conditions(route, parent, self._unseen)) for parent, group in groups]

    def __contains__(self, service: Key) -> bool:
        """Does any route name the Service as a parent?"""
        return service in self._groups_of

    def restate(self, service: Key) -> None:
        """Statuses of its routes may have changed, and nothing else."""
        self._restated.update(self._groups_of.get(service, ()))

    def take_restated(self) -> dict[Key, list[Route]]:
        """Of each Service whose rules may have changed since the last call, the routes that name it as a parent."""
        groups, self._restated = self._restated, {}
        found: dict[Key, list[Route]] = {}
        for group in groups:
            found.setdefault(group.service, []).extend(self._members.get(group, {}).values())
        return found

    def service_changed(self, before: Service | None, after: Service | None) -> None:
        """What a Service is changed, as far as routes look at it."""
        if looks(before) == looks(after):
            return
        for service in filter(None, (before, after)):
            for group in list(self._groups_of.get(service.key, ())):
                self._soil(group)
            self._soil_routes(list(self._routes_to.get(service.key, {}).values()))

    def _compile(self, group: Group) -> Compiled:
        if group not in self._compiled:
            routes = self._members.get(group, {}).values()
            self._compiled[group] = compile_group(group, routes, self._services, self._permits)
        return self._compiled[group]

    def _permits(self, route: Route, backend: BackendRef) -> bool:
        wanted = {Grant(route.kind, route.namespace), Grant(route.kind, route.namespace, backend.name)}
        return any(wanted & grants.grants for grants in self._grants_in.get(backend.namespace, {}).values())

    def _soil(self, group: Group) -> None:
        self._compiled.pop(group, None)
        self._restated[group] = None
        self._touched(group.service)

    def _soil_routes(self, routes: list[Route]) -> None:
        for route in routes:
            for group in _groups(route):
                self._soil(group)

    def _route_changed(self, before: Route | None, after: Route | None) -> None:
        if before:
            self._unlink(before)
        if after:
            self._link(after)

    def _link(self, route: Route) -> None:
        for group in _groups(route):
            self._members.setdefault(group, {})[route.kind, route.key] = route
            self._groups_of.setdefault(group.service, {})[group] = None
            self._soil(group)
        for backend in _backends(route):
            self._routes_to.setdefault(backend, {})[route.kind, route.key] = route

    def _unlink(self, route: Route) -> None:
        for group in _groups(route):
            _drop(self._members, group, (route.kind, route.key))
            if group not in self._members:
                _drop(self._groups_of, group.service, group)
            self._soil(group)
        for backend in _backends(route):
            _drop(self._routes_to, backend, (route.kind, route.key))

    def _grants_changed(self, before: Grants | None, after: Grants | None) -> None:
        if before:
            _drop(self._grants_in, before.key[0], before.key)
        if after:
            self._grants_in.setdefault(after.key[0], {})[after.key] = after
        for namespace in {grants.key[0] for grants in (before, after) if grants}:
            self._soil_routes_into(namespace)

    def _soil_routes_into(self, namespace: str) -> None:
        for backend, routes in list(self._routes_to.items()):
            if backend[0] == namespace:
                self._soil_routes([route for route in routes.values() if route.namespace != namespace])


def looks(service: Service | None) -> tuple[object, ...] | None:
    """What routes and profiles look at."""
    if service is None:
        return None
    return bool(service.cluster_ips), service.external, service.ports


def _groups(route: Route) -> dict[Group, None]:
    return dict.fromkeys(Group(parent.service, route.clients(parent)) for parent in route.parents)


def _backends(route: Route) -> set[Key]:
    return {(backend.namespace, backend.name) for rule in route.rules for backend in rule.backends}


def _drop(groups: dict[K, dict[V, T]], key: K, value: V) -> None:
    """Takes a value out of a group, and the group away that has none left."""
    groups[key].pop(value, None)
    if not groups[key]:
        del groups[key]
