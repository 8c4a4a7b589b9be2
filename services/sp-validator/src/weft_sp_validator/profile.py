"""What a ServiceProfile may say. Pure."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from weft_kube.names import PATH_REGEX_MAX
from weft_kube.paths import PATH_MAX, path_regex
from weft_kube.pattern import PatternError, check_pattern

from weft_sp_validator.overlap import Taken, requests_of
from weft_sp_validator.rules import Fault, boolean, choice, each, kind, number, record, shown, span, text

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
MAX_ROUTES = 500
MAX_NAME = 128
MAX_CLASSES = 20
MAX_OVERLAPS = 20
"""Warnings: the API server shows no more than 4,096 characters of them."""

_OTHERS = re.compile(r"\*+|:([A-Za-z_]\w*)|<([A-Za-z_]\w*)>", re.ASCII)
"""How others write a parameter of a path."""

RESERVED_NAMES = ("[probe]", "overflow")
"""Routes that the proxy itself gives to metrics."""


def faults_of(profile: Any) -> list[Fault]:
    """Every fault of an object of this kind; none when it is sound."""
    if not isinstance(profile, dict):
        return [Fault("", f"must be an object, not {kind(profile)}")]
    meta = profile.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    spec = list(_spec("spec", profile.get("spec")))
    unreachable = _unreachable(_routes(profile)) if not spec else ()
    return [*_name("metadata.name", name), *spec, *_repeated(_routes(profile)), *unreachable]


def warnings_of(profile: dict[str, Any]) -> list[Fault]:
    """What is allowed and yet hardly meant, in a sound profile."""
    routes = _routes(profile)
    warnings = [warning for place, route in enumerate(routes) for warning in _route_warnings(place, route)]
    warnings += [warning for place, route in enumerate(routes) for warning in _unreached_classes(place, route)]
    return [*warnings, *islice(_overlapping(routes), MAX_OVERLAPS), *_idle_budget(profile["spec"], routes)]


def _pattern(path: str, value: Any) -> Iterator[Fault]:
    faults = list(text(PATH_REGEX_MAX)(path, value))
    yield from faults
    if not faults:
        try:
            check_pattern(value)
        except PatternError as error:
            yield Fault(path, str(error))


def _template(path: str, value: Any) -> Iterator[Fault]:
    faults = list(text(PATH_MAX)(path, value))
    yield from faults
    if not faults:
        try:
            path_regex(value)
        except ValueError as error:
            yield Fault(path, str(error))
        else:
            yield from _query(path, value)


def _query(path: str, value: str) -> Iterator[Fault]:
    before, mark, _ = value.partition("?")
    if mark:
        yield Fault(path, f'never matches: paths are compared without query; did you mean "{before}"?')


def _route_name(path: str, value: Any) -> Iterator[Fault]:
    yield from text(MAX_NAME)(path, value)
    if value in RESERVED_NAMES:
        yield Fault(path, f"{value} is a route of weft's own; choose another name")


def _condition(path: str, value: Any) -> Iterator[Fault]:
    yield from record({"method": choice(METHODS), "path": _template, "pathRegex": _pattern})(path, value)
    if not isinstance(value, dict):
        return
    given = [name for name in ("method", "path", "pathRegex") if value.get(name) is not None]
    if not given:
        yield Fault(path, 'needs method, path or pathRegex; for every request say pathRegex: ".*"')
    if {"path", "pathRegex"} <= set(given):
        yield Fault(path, "has both path and pathRegex; keep one")


def _statuses(path: str, value: Any) -> Iterator[Fault]:
    """From `min` to `max`; either alone is that one status."""
    faults = list(record({"min": _STATUS, "max": _STATUS}, required=["min"])(path, value))
    yield from faults
    if not faults and value.get("max") is not None and value["max"] < value["min"]:
        yield Fault(path, f"has no status: min {value['min']} is above max {value['max']}")


_STATUS = number(100, 599, whole=True)
_CLASS = record(
    {"condition": record({"status": _statuses}, required=["status"]), "isFailure": boolean},
    required=["condition", "isFailure"],
)

_ROUTE = record(
    {
        "name": _route_name,
        "condition": _condition,
        "isRetryable": boolean,
        "timeout": span("1ms", "24h"),
        "responseClasses": each(_CLASS, MAX_CLASSES),
    },
    required=["name", "condition"],
)

_BUDGET = record(
    {
        "retryRatio": number(0, 1),
        "minRetriesPerSecond": number(0, 1_000_000, whole=True),
        "ttl": span("1s", "60s"),
    },
    required=["retryRatio", "minRetriesPerSecond", "ttl"],
)

_FIELDS = record({"routes": each(_ROUTE, MAX_ROUTES), "retryBudget": _BUDGET})


def _spec(path: str, value: Any) -> Iterator[Fault]:
    if value is None:
        yield Fault(path, "is missing")
    else:
        yield from _FIELDS(path, value)


def _name(path: str, value: Any) -> Iterator[Fault]:
    """A profile is found by its Service's name."""
    if isinstance(value, str) and re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", value):
        return
    service = value.split(".")[0] if isinstance(value, str) else ""
    hint = f"; did you mean {shown(service)}?" if service and service != value else ""
    yield Fault(path, f"must be the name of a Service of this namespace, not {shown(value)}{hint}")


def _routes(profile: dict[str, Any]) -> list[Any]:
    spec = profile.get("spec")
    routes = spec.get("routes") if isinstance(spec, dict) else None
    return routes[:MAX_ROUTES] if isinstance(routes, list) else []


def _repeated(routes: list[Any]) -> Iterator[Fault]:
    """Names are values of a metric's label: two routes of one name could not be told apart."""
    first: dict[str, int] = {}
    for place, route in enumerate(routes):
        name = route.get("name") if isinstance(route, dict) else None
        if isinstance(name, str) and first.setdefault(name, place) != place:
            yield Fault(f"spec.routes[{place}].name", f"{shown(name)} is already the name of routes[{first[name]}]")


def _unreachable(routes: list[Any]) -> Iterator[Fault]:
    """The first route that matches wins: what an earlier one covers never gets a request."""
    earlier = Taken()
    for place, found in enumerate(requests_of(route["condition"]) for route in routes):
        cover = min(earlier.covering(found), default=None)
        if cover is None:
            earlier.add(place, found)
        elif routes[cover]["condition"] == routes[place]["condition"]:
            reason = f"is never reached: routes[{cover}] has the same one; keep one of them"
            yield Fault(f"spec.routes[{place}].condition", reason)
        else:
            reason = f"is never reached: routes[{cover}] takes all its requests; put it before routes[{cover}]"
            yield Fault(f"spec.routes[{place}].condition", reason)


def _overlapping(routes: list[Any]) -> Iterator[Fault]:
    """Routes that share requests, neither being the special case of the other."""
    earlier = Taken()
    for place, found in enumerate(requests_of(route["condition"]) for route in routes):
        shared = (at for at, other in earlier.meeting(found) if not found.covers(other))
        if (at := next(shared, None)) is not None:
            yield Fault(f"spec.routes[{place}].condition", f"shares requests with routes[{at}], which gets them")
        earlier.add(place, found)


def _idle_budget(spec: dict[str, Any], routes: list[Any]) -> Iterator[Fault]:
    retried = any(route.get("isRetryable") for route in routes)
    budget = spec.get("retryBudget")
    if budget and not retried:
        yield Fault("spec.retryBudget", "has no effect: no route says isRetryable: true")
    if budget and retried and not budget["retryRatio"] and not budget["minRetriesPerSecond"]:
        yield Fault("spec.retryBudget", "allows no retries: retryRatio and minRetriesPerSecond are 0")


def _unreached_classes(place: int, route: dict[str, Any]) -> Iterator[Fault]:
    """The first class that has a status counts."""
    taken: set[int] = set()
    for at, one in enumerate(route.get("responseClasses") or ()):
        status = one["condition"]["status"]
        statuses = set(range(status["min"], (status.get("max") or status["min"]) + 1))
        if statuses <= taken:
            yield Fault(f"spec.routes[{place}].responseClasses[{at}]", "has no effect: earlier ones have its statuses")
        taken |= statuses


def _route_warnings(place: int, route: dict[str, Any]) -> Iterator[Fault]:
    path = f"spec.routes[{place}].condition"
    for segment in (route["condition"].get("path") or "").split("/"):
        if found := _OTHERS.fullmatch(segment):
            name = "".join(filter(None, found.groups())) or "id"
            yield Fault(f"{path}.path", f'"{segment}" is that very text; did you mean "{{{name}}}"?')
    pattern = route["condition"].get("pathRegex") or "/"
    if pattern.endswith("/*"):
        yield Fault(f"{path}.pathRegex", f'"/*" is any number of slashes; did you mean "{pattern[:-1]}.*"?')
    if pattern[0].isalnum():
        yield Fault(f"{path}.pathRegex", f'never matches: paths begin with "/"; did you mean "/{pattern}"?')
