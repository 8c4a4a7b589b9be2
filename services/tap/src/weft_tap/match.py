"""From a tap's query parameters to what proxies are asked. Pure; each fault names its parameter."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from weft_api.tap.v1 import tap_pb2
from weft_kube.workloads import label_value, parse_kind

from weft_tap.faults import Fault

MAX_RPS = 100
_LATENCY = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(us|µs|ms|s)")
_MICROSECONDS = {"us": 1, "µs": 1, "ms": 1_000, "s": 1_000_000}
_STATUS = re.compile(r"([1-5])xx|([1-5]\d\d)(?:-([1-5]\d\d))?")
_DIRECTIONS = {"inbound": tap_pb2.DIRECTION_INBOUND, "outbound": tap_pb2.DIRECTION_OUTBOUND}
IGNORED = ("timeout", "timeoutSeconds", "watch")
"""What Kubernetes clients add by themselves."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for, and how much of it: `limit` 0 is no limit. `replay`: of those that have ended before, too."""

    match: tap_pb2.Match
    limit: int = 0
    max_rps: int = MAX_RPS
    replay: int = 0


def parse(query: Mapping[str, str], namespace: str) -> Filter:
    """The filter that the parameters mean; `to` is in the tapped namespace unless told."""
    for name in query:
        if name not in (*PARAMETERS, *IGNORED):
            raise _bad(name, f"is not known; known are {', '.join(PARAMETERS)}")
    match = tap_pb2.Match()
    for name, set_field in _FIELDS.items():
        if query.get(name):
            set_field(match, query[name])
    _destination(match, query, namespace)
    counts = (_count(query, name, default) for name, default in (("limit", 0), ("max_rps", MAX_RPS), ("replay", 0)))
    return Filter(match, *counts)


def _method(match: tap_pb2.Match, text: str) -> None:
    match.method = text.upper()


def _path(match: tap_pb2.Match, text: str) -> None:
    match.path_prefix = text


def _authority(match: tap_pb2.Match, text: str) -> None:
    match.authority = text


def _identity(match: tap_pb2.Match, text: str) -> None:
    if not text.startswith("spiffe://"):
        raise _bad("identity", f"{text!r} is not a SPIFFE ID (spiffe://…)")
    match.peer_identity = text


def _status(match: tap_pb2.Match, text: str) -> None:
    found = _STATUS.fullmatch(text)
    if not found:
        raise _bad("status", f"{text!r} is none of 500, 5xx, 400-499")
    if hundred := found[1]:
        match.min_status, match.max_status = int(hundred) * 100, int(hundred) * 100 + 99
        return
    match.min_status, match.max_status = int(found[2]), int(found[3] or found[2])
    if match.min_status > match.max_status:
        raise _bad("status", f"{text!r} is an empty range")


def _min_latency(match: tap_pb2.Match, text: str) -> None:
    found = _LATENCY.fullmatch(text)
    latency = round(float(found[1]) * _MICROSECONDS[found[2]]) if found else 0
    if not 0 < latency < 2**32:
        raise _bad("min_latency", f"{text!r} is not a time such as 200ms or 1.5s")
    match.min_latency_us = latency


def _header(match: tap_pb2.Match, text: str) -> None:
    name, _, value = text.partition("=")
    if not name:
        raise _bad("header", f"{text!r} is neither NAME nor NAME=VALUE")
    match.header_name, match.header_value = name.lower(), value


def _direction(match: tap_pb2.Match, text: str) -> None:
    if text not in _DIRECTIONS:
        raise _bad("direction", f"{text!r} is neither inbound nor outbound")
    match.direction = _DIRECTIONS[text]


_FIELDS: dict[str, Callable[[tap_pb2.Match, str], None]] = {
    "method": _method,
    "path": _path,
    "authority": _authority,
    "status": _status,
    "min_latency": _min_latency,
    "header": _header,
    "identity": _identity,
    "direction": _direction,
}

PARAMETERS = (*_FIELDS, "to", "to_namespace", "limit", "max_rps", "replay")


def _destination(match: tap_pb2.Match, query: Mapping[str, str], namespace: str) -> None:
    to = query.get("to", "")
    match.dst_namespace = query.get("to_namespace", "") or (namespace if to else "")
    if not to:
        return
    word, _, name = to.partition("/")
    if not name:
        raise _bad("to", f"{to!r} is not KIND/NAME, for example deploy/web")
    try:
        kind = parse_kind(word).name
    except ValueError as error:
        raise _bad("to", str(error)) from None
    if kind == "service":
        match.dst_service = name
    elif kind == "namespace":
        match.dst_namespace = name
    else:
        match.dst_workload_kind, match.dst_workload = kind, label_value(name)


def _count(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) > 1_000_000:
        raise _bad(name, f"{text!r} is not a number from 0 to 1000000")
    return int(text)


def _bad(name: str, message: str) -> Fault:
    return Fault(400, f"parameter {name!r}: {message}")
