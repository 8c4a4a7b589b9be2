"""The requests of a Service's routes, as the pods behind it see them: by method and path alone. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from weft_kube.paths import path_template, plain_path

from weft_destination.gateway.model import Rule
from weft_destination.policy.model import Call, Path, RouteCalls
from weft_destination.policy.words import meant
from weft_destination.route import Match, Rewrite, Route
from weft_destination.route import Path as Kind

EVERYTHING = ("", ".*", "/.*")
"""Expressions that every path fits."""


@dataclass(frozen=True, slots=True)
class Named:
    """A route of a Service by its names, and the requests that fit it."""

    names: tuple[str, ...]
    matches: tuple[Match, ...]
    rewrites: bool = False
    """Pods see other paths than clients ask for."""


def of_profile(route: Route) -> Named:
    """A ServiceProfile's; without condition it is every request."""
    return Named((route.name,), route.matches or (Match(),))


def of_rule(route: str, rule: Rule) -> Named:
    """A rule of an HTTPRoute or GRPCRoute: by the route's name, and by the rule's as metrics have it."""
    filters = (*rule.filters, *(one for backend in rule.backends for one in backend.filters))
    rewrites = any(isinstance(one, Rewrite) and one.path for one in filters)
    return Named((route, rule.name), tuple(ranked.match for ranked in rule.matches), rewrites)


def route_calls(service: str, name: str, routes: Iterable[Named]) -> RouteCalls:
    """The requests of all routes of this name, or why a policy cannot tell them from others."""
    known = tuple(routes)
    found = [route for route in known if name in route.names]
    calls = [_call(match) for route in found for match in route.matches]
    whole = tuple(dict.fromkeys(call for call in calls if call))
    route = f"route {name!r} of Service {service}"
    if not found:
        hint = meant(name, {one for route in known for one in route.names})
        return RouteCalls(fault=f"there is no {route}{hint}")
    if any(one.rewrites for one in found):
        return RouteCalls(fault=f"{route} rewrites paths, so its pods see others than it names")
    if None in calls or not whole:
        return RouteCalls(fault=f"{route} does not say by method and path alone which requests are its own")
    return RouteCalls(whole)


def _call(match: Match) -> Call | None:
    """None when it looks at more than method and path, or its expression is no template."""
    if match.headers or match.queries:
        return None
    if match.path is Kind.ANY or (match.path is Kind.REGEX and match.value in EVERYTHING):
        return Call(match.method)
    path = plain_path((path_template(match.value) or "") if match.path is Kind.REGEX else match.value)
    return Call(match.method, _kind(match.path, path), path) if path else None


def _kind(kind: Kind, path: str) -> Path:
    if kind is Kind.PREFIX:
        return Path.PREFIX
    return Path.TEMPLATE if kind is Kind.REGEX and "{}" in path else Path.EXACT
