"""Compiled entries as the routes that a proxy is told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from weft_destination.gateway.model import BackendRef, Route, Rule
from weft_destination.route import Answer, Backend, Match, Redirect, Settings
from weft_destination.route import Route as ToldRoute

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
        yield _route(first.route, first.rule, matches, defaults.under(first.route.settings))


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
    retry = defaults.retry if rule.retry is None else rule.retry
    return ToldRoute(
        rule.name,
        matches,
        timeout_ms=_first(rule.request_timeout_ms, defaults.timeout_ms),
        retryable=bool(retry and retry.limit),
        backends=tuple(_backend(one) for one in rule.backends if one.weight),
        filters=rule.filters,
        backend_timeout_ms=_first(rule.backend_timeout_ms, defaults.backend_timeout_ms),
        retry=retry if retry and retry.limit else None,
        origin=origin,
        inherited=defaults.unsaid(rule.request_timeout_ms, rule.backend_timeout_ms, rule.retry),
    )


def _first(*values: int | None) -> int:
    """The first that says something."""
    return next((value for value in values if value is not None), 0)


def _answer(rule: Rule) -> Answer | None:
    """To requests of a rule that cannot be followed."""
    if fault := rule.fault or dead_end(rule):
        return Answer(INTERNAL_ERROR, f"route {rule.name}: {fault}")
    return None


def _backend(ref: BackendRef) -> Backend:
    answer = Answer(INTERNAL_ERROR, ref.fault.partition(": ")[2]) if ref.fault else None
    return Backend(ref.namespace, ref.name, ref.port, ref.weight, ref.filters, answer)
