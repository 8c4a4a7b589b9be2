"""Compiled entries as the routes that a proxy is told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from weft_destination.gateway.model import BackendRef, Route, Rule
from weft_destination.route import Answer, Backend, Inherited, Match, Redirect, Settings
from weft_destination.route import Route as ToldRoute
from weft_destination.settings import ORIGIN

INTERNAL_ERROR = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """A match and its rule; the first entry that matches a request decides."""

    match: Match
    rule: Rule
    route: Route


def told(entries: Sequence[Entry], defaults: Settings) -> Iterator[ToldRoute]:
    """In order; what follows each other of one rule is one route. What a rule does not say, `defaults` do."""
    for _, same in groupby(entries, key=lambda entry: (id(entry.route), id(entry.rule))):
        entries_of_rule = list(same)
        first = entries_of_rule[0]
        matches = tuple(entry.match for entry in entries_of_rule)
        yield _route(first.route, first.rule, matches, defaults)


def dead_end(rule: Rule) -> str:
    """Why a sound rule sends its requests nowhere; "" when it does."""
    if rule.fault or any(isinstance(one, Redirect) for one in rule.filters) or any(b.weight for b in rule.backends):
        return ""
    return "the weights of all backends are 0" if rule.backends else "no backendRefs and no redirect"


def _route(route: Route, rule: Rule, matches: tuple[Match, ...], defaults: Settings) -> ToldRoute:
    origin = f"{route.kind} {route.namespace}/{route.name} rules[{route.rules.index(rule)}]"
    answer = _answer(rule)
    if answer or any(isinstance(one, Redirect) for one in rule.filters):
        return ToldRoute(rule.name, matches, filters=() if answer else rule.filters, answer=answer, origin=origin)
    held, inherited = _settings(route, rule, defaults)
    return ToldRoute(
        rule.name,
        matches,
        timeout_ms=held.timeout_ms,
        retryable=held.retry is not None and held.retry.happens,
        backends=tuple(_backend(one) for one in rule.backends if one.weight),
        filters=rule.filters,
        backend_timeout_ms=held.backend_timeout_ms or 0,
        retry=held.retry,
        origin=origin,
        inherited=inherited,
    )


def _settings(route: Route, rule: Rule, defaults: Settings) -> tuple[Settings, tuple[Inherited, ...]]:
    """What the rule says, else the route's annotations, else the defaults; and what is not the rule's."""
    said = Settings(rule.request_timeout_ms, rule.backend_timeout_ms, rule.retry)
    by_route = route.settings.under(said)
    whose = f"annotations of {route.kind} {route.namespace}/{route.name}"
    added = [(name, whose) for name in route.settings.adds(said)] + [(name, ORIGIN) for name in defaults.adds(by_route)]
    return defaults.under(by_route), tuple(added)


def _answer(rule: Rule) -> Answer | None:
    """To requests of a rule that cannot be followed."""
    if fault := rule.fault or dead_end(rule):
        return Answer(INTERNAL_ERROR, f"route {rule.name}: {fault}")
    return None


def _backend(ref: BackendRef) -> Backend:
    answer = Answer(INTERNAL_ERROR, ref.fault.partition(": ")[2]) if ref.fault else None
    return Backend(ref.namespace, ref.name, ref.port, ref.weight, ref.filters, answer)
