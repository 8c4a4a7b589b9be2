"""HTTPRoute and GRPCRoute objects as values. What weft does not support becomes the fault of its rule, by its field.

Whatever stands in an object, it is read: CRDs of other versions let through what those of this one do not.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec
from weft_kube.names import PATH_REGEX_MAX
from weft_kube.objects import GatewayRoute, ReferenceGrant
from weft_kube.pattern import PatternError, check_pattern

from weft_destination.gateway.fields import Json, UnsupportedError, known, number, part, parts, text, token
from weft_destination.gateway.filters import check_filters, read_filters
from weft_destination.gateway.model import BackendRef, Grant, Grants, Parent, RankedMatch, Route, Rule
from weft_destination.route import HeaderChange, Match, Path, Retry, ValueMatch
from weft_destination.settings import OF_ROUTES, read_settings

MAX_WEIGHT = 1_000_000
RANGE = 2**31
STATE_BYTES = 130
"""Of a compiled expression, for each of its states, at most."""

GATEWAY = "gateway.networking.k8s.io"
MEANT = {("", "Service"), (GATEWAY, "Service"), ("core", "Service"), ("", "Gateway")}
"""Parents that are Services, and those of kinds that there are not: who left a field out is told by nobody else."""

_DURATION = re.compile(r"(?:\d{1,5}(?:h|m|s|ms)){1,4}")
_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_RULE = {"name", "matches", "filters", "backendRefs", "timeouts", "retry"}

ReadMatch = Callable[[Json], RankedMatch]


def http_route(obj: GatewayRoute) -> Route:
    """An HTTPRoute; without rules it sends everything nowhere."""
    return _route("HTTPRoute", obj, _http_match)


def grpc_route(obj: GatewayRoute) -> Route:
    """A GRPCRoute."""
    return _route("GRPCRoute", obj, _grpc_match)


def grants(obj: ReferenceGrant) -> Grants:
    """Which routes a ReferenceGrant lets name which Services of its namespace."""
    names = [to.name for to in obj.spec.to if (to.group, to.kind) == ("", "Service")]
    froms = [one for one in obj.spec.from_ if one.group == GATEWAY]
    return Grants(obj.key, frozenset(Grant(one.kind, one.namespace, name) for one in froms for name in names))


def _route(kind: str, obj: GatewayRoute, match: ReadMatch) -> Route:
    """A rule that cannot be done as it says has its fault, and no other one suffers."""
    namespace, name = obj.key
    rules = obj.spec.get("rules")
    settings, faults = read_settings(obj.metadata.annotations, OF_ROUTES, "route")
    return Route(
        kind=kind,
        namespace=namespace,
        name=name,
        created=obj.metadata.creation_timestamp or "",
        generation=obj.metadata.generation,
        parents=tuple(dict.fromkeys(_parents(obj.spec, namespace))),
        hostnames=bool(obj.spec.get("hostnames")),
        settings=settings,
        faults=faults,
        rules=tuple(
            _rule(name, namespace, at, raw, match)
            for at, raw in enumerate(rules if isinstance(rules, list) and rules else [{}])
        ),
    )


def _parents(spec: Json, namespace: str) -> Iterator[Parent]:
    refs = spec.get("parentRefs")
    for ref in refs if isinstance(refs, list) else ():
        try:
            parent = Parent(
                text(ref, "namespace") or namespace,
                text(ref, "name"),
                number(ref, "port"),
                text(ref, "sectionName"),
                text(ref, "group", GATEWAY),
                text(ref, "kind", "Gateway"),
            )
        except UnsupportedError:
            continue
        if (parent.group, parent.kind) in MEANT:
            yield parent


def _rule(route: str, namespace: str, at: int, raw: Json, match: ReadMatch) -> Rule:
    """A faulty rule keeps its matches where they can be read: their requests must not fall to another rule."""
    name, where = f"{route}/{at}", f"spec.rules[{at}]"
    matches: tuple[RankedMatch, ...] = ()
    dropped: tuple[str, ...] = ()
    try:
        name = f"{route}/{text(raw, 'name') or at}"
        matches, dropped = _matches(raw, where, match)
        if not matches:
            return Rule(name, (), fault="; ".join(dropped))
        known(raw, _RULE)
        filters, backends = tuple(read_filters(raw)), tuple(_backends(raw, namespace))
        check_filters(filters, [one.match.path for one in matches], has_backends=bool(backends))
        request, backend = _timeouts(raw)
        size = len(msgspec.json.encode({name: value for name, value in raw.items() if name != "matches"}))
        return Rule(name, matches, filters, backends, request, backend, _retry(raw), dropped=dropped, size=size)
    except UnsupportedError as error:
        return Rule(name, matches, fault=f"{where}: {error}", dropped=dropped)


def _matches(raw: Json, where: str, match: ReadMatch) -> tuple[tuple[RankedMatch, ...], tuple[str, ...]]:
    """Those that can be read, and what is wrong with each other one: any of them is enough, so none needs another."""
    found, faults = [], []
    for at, one in enumerate(parts(raw, "matches") or [{}]):
        try:
            found.append(_costed(match(one), one))
        except UnsupportedError as error:
            faults.append(f"{where}.matches[{at}]: {error}")
    return tuple(found), tuple(faults)


def _http_match(raw: Json) -> RankedMatch:
    known(raw, {"path", "method", "headers", "queryParams"})
    path = part(raw, "path") or {}
    known(path, {"type", "value"})
    kind, value = _path(path)
    method = token(raw, "method") if raw.get("method") else ""
    headers, queries = _values(raw, "headers", fold=True), _values(raw, "queryParams", fold=False)
    rank = (kind, len(value), bool(method), len(headers), len(queries))
    return _ranked(rank, Match(kind, value, method, headers, queries))


def _path(raw: Json) -> tuple[Path, str]:
    value = text(raw, "value") or "/"
    match text(raw, "type", "PathPrefix"):
        case "PathPrefix":
            value = value.rstrip("/")
            return (Path.PREFIX, value) if value else (Path.ANY, "")
        case "Exact":
            return Path.EXACT, value
        case "RegularExpression":
            return Path.REGEX, value
        case other:
            raise UnsupportedError(f"path type {other} is unknown")


def _grpc_match(raw: Json) -> RankedMatch:
    """Service and method are the path of gRPC: /service/method. Longer ones are asked first."""
    known(raw, {"method", "headers"})
    method = part(raw, "method") or {}
    known(method, {"type", "service", "method"})
    service, name = text(method, "service"), text(method, "method")
    headers = _values(raw, "headers", fold=True)
    path, value = _grpc_path(text(method, "type", "Exact"), service, name)
    return _ranked((len(service), len(name), len(headers)), Match(path, value, headers=headers))


def _grpc_path(kind: str, service: str, name: str) -> tuple[Path, str]:
    if not service and not name:
        return Path.ANY, ""
    if kind == "RegularExpression":
        anything = "[^/]+"
        return Path.REGEX, f"/(?:{service or anything})/(?:{name or anything})"
    if kind != "Exact":
        raise UnsupportedError(f"method type {kind} is unknown")
    if service and name:
        return Path.EXACT, f"/{service}/{name}"
    return (Path.PREFIX, f"/{service}") if service else (Path.REGEX, f"/[^/]+/{re.escape(name)}")


def _values(raw: Json, field: str, *, fold: bool) -> tuple[ValueMatch, ...]:
    """Of names that are the same, only the first counts."""
    found: dict[str, ValueMatch] = {}
    for one in parts(raw, field):
        known(one, {"name", "type", "value"})
        name = token(one, "name").lower() if fold else text(one, "name")
        kind = text(one, "type", "Exact")
        if kind not in ("Exact", "RegularExpression"):
            raise UnsupportedError(f"{field} type {kind} is unknown")
        found.setdefault(name, ValueMatch(name, text(one, "value"), kind == "RegularExpression"))
    return tuple(found.values())


def _costed(ranked: RankedMatch, raw: Json) -> RankedMatch:
    return replace(ranked, cost=ranked.cost + len(msgspec.json.encode(raw)))


def _ranked(rank: tuple[int, ...], match: Match) -> RankedMatch:
    """Expressions are checked here, and what they will take in a proxy is counted."""
    patterns = [("path", match.value)] if match.path == Path.REGEX else []
    patterns += [(f"value of {one.name}", one.value) for one in (*match.headers, *match.queries) if one.regex]
    return RankedMatch(rank, match, sum(STATE_BYTES * _states(what, pattern) for what, pattern in patterns))


def _states(what: str, pattern: str) -> int:
    if len(pattern) > PATH_REGEX_MAX:
        raise UnsupportedError(f"{what}: an expression of more than {PATH_REGEX_MAX} characters")
    try:
        return check_pattern(pattern)
    except PatternError as error:
        raise UnsupportedError(f"{what} {pattern!r}: {error}") from None


def _backends(raw: Json, namespace: str) -> Iterator[BackendRef]:
    for ref in parts(raw, "backendRefs"):
        known(ref, {"group", "kind", "namespace", "name", "port", "weight", "filters"})
        name, filters = text(ref, "name"), tuple(read_filters(ref))
        if not all(isinstance(one, HeaderChange) for one in filters):
            raise UnsupportedError(f"backend {name}: a filter other than header modification")
        kind = (text(ref, "group"), text(ref, "kind", "Service"))
        fault = "" if kind == ("", "Service") else f"InvalidKind: {name} is a {kind[1]}, not a Service"
        weight = number(ref, "weight", 1, MAX_WEIGHT)
        yield BackendRef(text(ref, "namespace") or namespace, name, number(ref, "port"), weight, filters, fault)


def _timeouts(raw: Json) -> tuple[int | None, int | None]:
    timeouts = part(raw, "timeouts") or {}
    known(timeouts, {"request", "backendRequest"})
    request, backend = _milliseconds(timeouts, "request"), _milliseconds(timeouts, "backendRequest")
    if request and backend and backend > request:
        raise UnsupportedError("timeouts.backendRequest is longer than timeouts.request")
    return request, backend


def _retry(raw: Json) -> Retry | None:
    retry = part(raw, "retry")
    if retry is None:
        return None
    known(retry, {"codes", "attempts", "backoff"})
    codes = retry.get("codes") or []
    if not isinstance(codes, list) or not all(isinstance(code, int) and 400 <= code <= 599 for code in codes):
        raise UnsupportedError("retry.codes are not statuses from 400 to 599")
    limit, backoff = number(retry, "attempts", 1, RANGE), _milliseconds(retry, "backoff") or 0
    return Retry(tuple(sorted(set(codes))), limit=limit, backoff_ms=backoff, listed_only=True)


def _milliseconds(raw: Json, name: str) -> int | None:
    """A duration of GEP-2257, "1m30s"; None when it is not said, 0 for "0s", which switches it off."""
    given = text(raw, name)
    if not given:
        return None
    if not _DURATION.fullmatch(given):
        raise UnsupportedError(f"{given!r} is no duration")
    total = sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)(ms|h|m|s)", given))
    if total >= RANGE:
        raise UnsupportedError(f"{given!r} is longer than 596h")
    return total
