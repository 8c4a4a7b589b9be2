"""Annotations of a Service, or of a route, that say what becomes of all requests to it: one table, and the values.

A faulty annotation holds nothing; the others hold. Its author is told by an Event, a route's by its status.
"""

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from weft_kube.names import CONFIG_PREFIX, MAX_VALUE, parse_ports

from weft_destination.durations import duration_ms, window_ms
from weft_destination.route import NO_SETTINGS, Breaker, Retry, RetryBudget, Settings

ORIGIN = "annotations of the Service"
"""As people are told where a setting comes from."""

MAX_RETRIES = 10
MAX_COUNT = 1_000_000
MIN_PENALTY_MS = 1000
"""Of proxies that are told nothing else."""
_CODES = """OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED
RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS
UNAUTHENTICATED"""
GRPC_CODES = _CODES.split()


@dataclass(frozen=True, slots=True)
class Setting:
    """An annotation `config.weft.dev/<name>`: how its value is read, an example, and what it means."""

    name: str
    parse: Callable[[str], Any]
    example: str
    doc: str


def _duration_or_none(text: str) -> int:
    return 0 if text in ("0", "0s", "0ms") else duration_ms(text)


def _count(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is not a number from {low} to {high}")
        return int(text)

    return parse


def _permille(text: str) -> int:
    if not re.fullmatch(r"[01](\.\d{1,6})?", text) or not 0 <= float(text) <= 1:
        raise ValueError(f"{text!r} is not between 0 and 1, like 0.2")
    return round(float(text) * 1000)


def _statuses(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        ends = [int(end) if re.fullmatch("[45][0-9]{2}", end) else 0 for end in (first, last or first)]
        if 0 in ends or ends[0] > ends[1]:
            raise ValueError(f"{part.strip()!r} is no status from 400 to 599, or range of them like 502-504")
        found.update(range(ends[0], ends[1] + 1))
    return tuple(sorted(found))


def _grpc_codes(text: str) -> tuple[int, ...]:
    return tuple(sorted({_grpc_code(part.strip()) for part in text.split(",")}))


def _grpc_code(word: str) -> int:
    name = word.upper().replace("-", "_")
    if re.fullmatch("[1-9]|1[0-6]", word):
        return int(word)
    if name in GRPC_CODES[1:]:
        return GRPC_CODES.index(name)
    raise ValueError(f"{word!r} is no gRPC code like unavailable or 14")


_PENALTY = "How long an endpoint is left out"
SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("request-timeout", _duration_or_none, "10s", "For the whole answer, retries included; 0s: none."),
        Setting("try-timeout", _duration_or_none, "2s", "For one try."),
        Setting("retry-statuses", _statuses, "502-504,429", "Responses that are asked for again."),
        Setting("retry-grpc-codes", _grpc_codes, "unavailable,aborted", "gRPC codes that are asked for again."),
        Setting("retry-limit", _count(1, MAX_RETRIES), "2", "Tries after the first; 1 when only codes are given."),
        Setting("retry-backoff", duration_ms, "25ms", "Before the first retry, doubled with each further one."),
        Setting("retry-budget-ratio", _permille, "0.2", "Retries as a share of requests."),
        Setting("retry-budget-min", _count(0, MAX_COUNT), "10", "Retries a second that are allowed at any rate."),
        Setting("retry-budget-window", window_ms, "10s", "Over which the share is counted; from 1s."),
        Setting("breaker-failures", _count(0, MAX_COUNT), "7", "Failures in a row that open it; 0: never for those."),
        Setting("breaker-min-penalty", duration_ms, "1s", f"{_PENALTY} at first; doubled each time."),
        Setting("breaker-max-penalty", duration_ms, "60s", f"{_PENALTY} at most."),
        Setting("breaker-min-success", _permille, "0.9", "Share of successes below which it opens."),
        Setting("breaker-window", duration_ms, "10s", "Responses of so long are judged."),
        Setting("breaker-min-requests", _count(1, MAX_COUNT), "10", "If there are so many."),
        Setting("opaque-ports", parse_ports, "25,8000-8010", "Ports whose bytes its clients never look into."),
    )
}


OF_ROUTES = ("request-timeout", "try-timeout", "retry-statuses", "retry-grpc-codes", "retry-limit", "retry-backoff")
"""Those that an HTTPRoute or GRPCRoute can have; budget and breaker are the Service's."""


def read_settings(
    annotations: Mapping[str, str], known: Collection[str] = SETTINGS, whose: str = "Service"
) -> tuple[Settings, tuple[str, ...]]:
    """What annotations say, and each fault of theirs."""
    if not any(name.startswith(CONFIG_PREFIX) for name in annotations):
        return NO_SETTINGS, ()
    found: dict[str, Any] = {}
    faults: list[str] = []
    for annotation, text in sorted(annotations.items()):
        if not annotation.startswith(CONFIG_PREFIX):
            continue
        name = annotation.removeprefix(CONFIG_PREFIX)
        try:
            found[name] = _setting(name, known, whose).parse(_short(text))
        except ValueError as error:
            faults.append(f"annotation {annotation}: {error}")
    faults += _contradictions(found)
    return _settings(found), tuple(faults)


def _setting(name: str, known: Collection[str], whose: str) -> Setting:
    if name in known:
        return SETTINGS[name]
    close = difflib.get_close_matches(name, known, 1)
    raise ValueError(f"a {whose} has no such setting" + (f"; did you mean {close[0]}?" if close else ""))


def _short(text: str) -> str:
    """A fault quotes the value, and is kept, logged and told."""
    if len(text) > MAX_VALUE:
        raise ValueError(f"a value of {len(text)} characters: {MAX_VALUE} are the most")
    return text


def _contradictions(found: dict[str, Any]) -> list[str]:
    """What says nothing by itself, or what cannot be; the setting at fault is taken out."""
    faults = []
    for name, needed in (
        ("retry-backoff", ("retry-limit", "retry-statuses", "retry-grpc-codes")),
        ("breaker-window", ("breaker-min-success",)),
        ("breaker-min-requests", ("breaker-min-success",)),
    ):
        if name in found and not any(other in found for other in needed):
            faults.append(f"annotation {CONFIG_PREFIX}{name}: has no effect without {' or '.join(needed)}")
            del found[name]
    for name, other in (("try-timeout", "request-timeout"), ("breaker-min-penalty", "breaker-max-penalty")):
        if found.get(other) and found.get(name, 0) > found[other]:
            faults.append(f"annotation {CONFIG_PREFIX}{name}: is longer than {other}")
            del found[name]
    if "breaker-min-penalty" not in found and found.get("breaker-max-penalty", MIN_PENALTY_MS) < MIN_PENALTY_MS:
        name = "breaker-max-penalty"
        faults.append(f"annotation {CONFIG_PREFIX}{name}: is shorter than 1s, breaker-min-penalty's default")
        del found[name]
    return faults


def _settings(found: Mapping[str, Any]) -> Settings:
    return Settings(
        found.get("request-timeout"), found.get("try-timeout"), _retry(found), _budget(found), _breaker(found)
    )


def _retry(found: Mapping[str, Any]) -> Retry | None:
    if not {"retry-limit", "retry-statuses", "retry-grpc-codes"} & found.keys():
        return None
    return Retry(
        found.get("retry-statuses", ()),
        found.get("retry-grpc-codes", ()),
        found.get("retry-limit", 1),
        found.get("retry-backoff", 0),
    )


def _budget(found: Mapping[str, Any]) -> RetryBudget | None:
    if not any(name.startswith("retry-budget-") for name in found):
        return None
    usual = RetryBudget()
    return RetryBudget(
        found.get("retry-budget-ratio", usual.ratio_permille),
        found.get("retry-budget-min", usual.min_retries_per_second),
        found.get("retry-budget-window", usual.ttl_ms),
        origin=ORIGIN,
    )


def _breaker(found: Mapping[str, Any]) -> Breaker | None:
    if not any(name.startswith("breaker-") for name in found):
        return None
    return Breaker(
        found.get("breaker-failures", Breaker().max_failures),
        found.get("breaker-min-penalty", 0),
        found.get("breaker-max-penalty", 0),
        found.get("breaker-min-success", 0),
        found.get("breaker-window", 0),
        found.get("breaker-min-requests", 0),
    )
