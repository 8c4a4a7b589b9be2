"""HTTPRoute and GRPCRoute objects as values. What weft does not support becomes the fault of its rule, by its field."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from weft_destination.gateway.model import (
    Backend,
    Filter,
    HeaderChange,
    Match,
    Parent,
    Path,
    PathChange,
    Redirect,
    Retry,
    Rewrite,
    Route,
    Rule,
    ValueMatch,
)

Json = Mapping[str, Any]
MAX_REGEX = 1024
REDIRECTS = (301, 302, 303, 307, 308)
_DURATION = re.compile(r"(?:\d{1,5}(?:h|m|s|ms)){1,4}")
_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_LOOK = re.compile(r"\(\?(?:[=!]|<[=!])|\\[1-9]")
_RULE = {"name", "matches", "filters", "backendRefs", "timeouts", "retry"}


class UnsupportedError(ValueError):
    """The field and why weft cannot do it."""


def read_route(obj: Json) -> Route:
    """A route. A rule that cannot be done as it says has its fault, and no other one suffers."""
    meta, spec, kind = obj["metadata"], obj.get("spec") or {}, obj["kind"]
    match = _http_match if kind == "HTTPRoute" else _grpc_match
    namespace = meta.get("namespace", "")
    rules = spec.get("rules") or ([{}] if kind == "GRPCRoute" else [{"matches": [{}]}])
    return Route(
        kind=kind,
        namespace=namespace,
        name=meta["name"],
        created=meta.get("creationTimestamp") or "",
        generation=meta.get("generation", 0),
        parents=tuple(_parents(spec, namespace)),
        hostnames=bool(spec.get("hostnames")),
        rules=tuple(_rule(meta["name"], namespace, at, raw, match) for at, raw in enumerate(rules)),
    )


def _parents(spec: Json, namespace: str) -> Iterator[Parent]:
    for ref in spec.get("parentRefs") or ():
        if (ref.get("group", "gateway.networking.k8s.io"), ref.get("kind", "Gateway")) == ("", "Service"):
            yield Parent(
                ref.get("namespace") or namespace, ref["name"], ref.get("port") or 0, ref.get("sectionName") or ""
            )


def _rule(route: str, namespace: str, at: int, raw: Json, match: Callable[[Json], Match]) -> Rule:
    name = f"{route}/{raw.get('name') or at}"
    # A fault's rule keeps its matches where they can be read: their requests must not fall to another rule.
    try:
        matches = tuple(match(one) for one in raw.get("matches") or [{}])
    except UnsupportedError as error:
        return Rule(name, (), fault=f"spec.rules[{at}]: {error}")
    try:
        _known(raw, _RULE)
        rule = Rule(name, matches, tuple(_filters(raw)), tuple(_backends(raw, namespace)), *_timeouts(raw), _retry(raw))
        _check_filters(rule)
    except UnsupportedError as error:
        return Rule(name, matches, fault=f"spec.rules[{at}]: {error}")
    return rule


def _http_match(raw: Json) -> Match:
    _known(raw, {"path", "method", "headers", "queryParams"})
    kind, value = _path(raw.get("path") or {"type": "PathPrefix", "value": "/"})
    method = raw.get("method") or ""
    headers, queries = _values(raw, "headers", fold=True), _values(raw, "queryParams", fold=False)
    rank = (kind, len(value), bool(method), len(headers), len(queries))
    return Match(rank, kind, value, method, headers, queries)


def _path(raw: Json) -> tuple[Path, str]:
    value = raw.get("value") or "/"
    match raw.get("type") or "PathPrefix":
        case "PathPrefix":
            value = value.rstrip("/")
            return (Path.PREFIX, value) if value else (Path.ANY, "")
        case "Exact":
            return Path.EXACT, value
        case "RegularExpression":
            return Path.REGEX, _regex("path", value)
        case other:
            raise UnsupportedError(f"path type {other} is unknown")


def _grpc_match(raw: Json) -> Match:
    """Service and method are the path of gRPC: /service/method. Longer ones are asked first."""
    _known(raw, {"method", "headers"})
    method = raw.get("method") or {}
    service, name = method.get("service") or "", method.get("method") or ""
    headers = _values(raw, "headers", fold=True)
    rank = (len(service), len(name), len(headers))
    if not service and not name:
        return Match(rank, headers=headers)
    if (method.get("type") or "Exact") == "RegularExpression":
        anything = "[^/]+"
        pattern = f"/(?:{service or anything})/(?:{name or anything})"
        return Match(rank, Path.REGEX, _regex("method", pattern), headers=headers)
    if service and name:
        return Match(rank, Path.EXACT, f"/{service}/{name}", headers=headers)
    if service:
        return Match(rank, Path.PREFIX, f"/{service}", headers=headers)
    return Match(rank, Path.REGEX, f"/[^/]+/{re.escape(name)}", headers=headers)


def _values(raw: Json, field: str, *, fold: bool) -> tuple[ValueMatch, ...]:
    """Of names that are the same, only the first counts."""
    found: dict[str, ValueMatch] = {}
    for one in raw.get(field) or ():
        name = one["name"].lower() if fold else one["name"]
        regex = (one.get("type") or "Exact") == "RegularExpression"
        value = _regex(f"{field} {name}", one["value"]) if regex else one["value"]
        found.setdefault(name, ValueMatch(name, value, regex))
    return tuple(found.values())


def _regex(field: str, pattern: str) -> str:
    if len(pattern) > MAX_REGEX:
        raise UnsupportedError(f"{field}: an expression of more than {MAX_REGEX} characters")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UnsupportedError(f"{field}: {pattern!r} is no regular expression: {error}") from None
    if _LOOK.search(pattern):
        raise UnsupportedError(f"{field}: {pattern!r} looks around or back, which takes more than linear time")
    return pattern


def _filters(raw: Json) -> Iterator[Filter]:
    for one in raw.get("filters") or ():
        match one.get("type"):
            case "RequestHeaderModifier":
                yield _headers(one["requestHeaderModifier"], response=False)
            case "ResponseHeaderModifier":
                yield _headers(one["responseHeaderModifier"], response=True)
            case "RequestRedirect":
                yield _redirect(one["requestRedirect"])
            case "URLRewrite":
                _known(one["urlRewrite"], {"hostname", "path"})
                yield Rewrite(one["urlRewrite"].get("hostname") or "", _path_change(one["urlRewrite"]))
            case other:
                raise UnsupportedError(f"filter {other} is not supported")


def _headers(raw: Json, *, response: bool) -> HeaderChange:
    _known(raw, {"set", "add", "remove"})
    pairs = {key: tuple((one["name"].lower(), one["value"]) for one in raw.get(key) or ()) for key in ("set", "add")}
    return HeaderChange(response, pairs["set"], pairs["add"], tuple(name.lower() for name in raw.get("remove") or ()))


def _redirect(raw: Json) -> Redirect:
    _known(raw, {"scheme", "hostname", "path", "port", "statusCode"})
    status = raw.get("statusCode") or 302
    if status not in REDIRECTS:
        raise UnsupportedError(f"a redirect with status {status}; there are {', '.join(map(str, REDIRECTS))}")
    return Redirect(status, raw.get("scheme") or "", raw.get("hostname") or "", raw.get("port") or 0, _path_change(raw))


def _path_change(raw: Json) -> PathChange | None:
    path = raw.get("path")
    if path is None:
        return None
    if path.get("type") == "ReplacePrefixMatch":
        return PathChange(path.get("replacePrefixMatch") or "", prefix=True)
    return PathChange(path.get("replaceFullPath") or "/", prefix=False)


def _check_filters(rule: Rule) -> None:
    kinds = [type(one) for one in rule.filters if not isinstance(one, HeaderChange)]
    if len(kinds) > 1:
        raise UnsupportedError("several of redirect and rewrite in one rule")
    changes = (one.path for one in rule.filters if not isinstance(one, HeaderChange))
    if any(change and change.prefix for change in changes) and {one.path for one in rule.matches} - {
        Path.PREFIX,
        Path.ANY,
    }:
        raise UnsupportedError("ReplacePrefixMatch without a match of type PathPrefix")
    if Redirect in kinds and rule.backends:
        raise UnsupportedError("a redirect and backendRefs in one rule")


def _backends(raw: Json, namespace: str) -> Iterator[Backend]:
    for ref in raw.get("backendRefs") or ():
        _known(ref, {"group", "kind", "namespace", "name", "port", "weight", "filters"})
        filters = tuple(_filters(ref))
        changes = tuple(one for one in filters if isinstance(one, HeaderChange))
        if len(changes) < len(filters):
            raise UnsupportedError(f"backend {ref['name']}: a filter other than header modification")
        kind = (ref.get("group") or "", ref.get("kind") or "Service")
        fault = "" if kind == ("", "Service") else f"InvalidKind: {ref['name']} is a {kind[1]}, not a Service"
        weight = 1 if ref.get("weight") is None else ref["weight"]
        yield Backend(ref.get("namespace") or namespace, ref["name"], ref.get("port") or 0, weight, changes, fault)


def _timeouts(raw: Json) -> tuple[int, int]:
    timeouts = raw.get("timeouts") or {}
    _known(timeouts, {"request", "backendRequest"})
    request, backend = _milliseconds(timeouts.get("request")), _milliseconds(timeouts.get("backendRequest"))
    if request and backend > request:
        raise UnsupportedError("timeouts.backendRequest is longer than timeouts.request")
    return request, backend


def _retry(raw: Json) -> Retry | None:
    retry = raw.get("retry")
    if retry is None:
        return None
    _known(retry, {"codes", "attempts", "backoff"})
    codes: Sequence[int] = retry.get("codes") or ()
    return Retry(tuple(sorted(set(codes))), retry.get("attempts") or 1, _milliseconds(retry.get("backoff")))


def _milliseconds(text: str | None) -> int:
    """A duration of GEP-2257, "1m30s"; 0 for none, and for "0s", which switches it off."""
    if not text:
        return 0
    if not _DURATION.fullmatch(text):
        raise UnsupportedError(f"{text!r} is no duration")
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|h|m|s)", text))


def _known(raw: Json, fields: set[str]) -> None:
    unknown = sorted(name for name, value in raw.items() if name not in fields and value is not None)
    if unknown:
        raise UnsupportedError(f"{', '.join(unknown)} is not supported")
