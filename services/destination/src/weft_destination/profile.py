"""A ServiceProfile's spec as a model value: sound parts are kept, each fault is named by its field.

The rules are in this service's README; sp-validator refuses at admission what is skipped here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from weft_kube.names import PATH_REGEX_MAX
from weft_kube.paths import PATH_MAX, path_regex
from weft_kube.pattern import PatternError, check_pattern

from weft_destination.durations import duration_ms, window_ms
from weft_destination.model import Key, Profile
from weft_destination.route import Match, Path, ResponseClass, RetryBudget, Route

T = TypeVar("T")

_METHOD = re.compile(r"[A-Za-z!#$%&'*+.^_`|~0-9-]+")


class _Reader:
    """Reads fields of a mapping and notes what is wrong with them."""

    def __init__(self, where: str, fields: Any, faults: list[str]) -> None:
        self._where = where
        self._faults = faults
        self._fields: Mapping[str, Any] = fields if isinstance(fields, Mapping) else {}
        self.sound = isinstance(fields, Mapping)
        if not self.sound:
            faults.append(f"{where} is not an object")

    def read(self, name: str, parse: Callable[[Any], T], default: T) -> T:
        """A field, or the default when it is absent or faulty."""
        if name not in self._fields:
            return default
        try:
            return parse(self._fields[name])
        except ValueError as error:
            self._faults.append(f"{self._where}.{name} {error}")
            self.sound = False
            return default

    def part(self, name: str) -> "_Reader":
        """A field that is an object itself; absent is empty."""
        return _Reader(f"{self._where}.{name}", self._fields.get(name, {}), self._faults)

    def says(self, name: str) -> bool:
        """Is there such a field?"""
        return name in self._fields

    def require(self, name: str) -> None:
        """Notes a field that is missing."""
        if name not in self._fields:
            self._faults.append(f"{self._where}.{name} is missing")
            self.sound = False


def read_profile(key: Key, spec: Any) -> Profile:
    """The profile with its faults. A route with a fault is left out whole; a faulty budget allows nothing."""
    faults: list[str] = []
    reader = _Reader("spec", spec, faults)
    raw: list[Any] = reader.read("routes", _list, [])
    found = [_route(f"spec.routes[{number}]", route, faults) for number, route in enumerate(raw)]
    whose = f"ServiceProfile {key[0]}/{key[1]}"
    routes = tuple(replace(route, origin=f"{whose} routes[{number}]") for number, route in enumerate(found) if route)
    said = reader.says("retryBudget") and any(route.retryable for route in routes)
    budget = _budget(reader.part("retryBudget"), whose) if said else None
    return Profile(key, routes, budget, tuple(faults))


def _route(where: str, raw: Any, faults: list[str]) -> Route | None:
    before = len(faults)
    reader = _Reader(where, raw, faults)
    reader.require("name")
    condition = reader.part("condition")
    classes: list[Any] = reader.read("responseClasses", _list, [])
    method = condition.read("method", _method, "")
    path = condition.read("path", _template, "") or condition.read("pathRegex", _regex, "")
    route = Route(
        name=reader.read("name", _name, ""),
        matches=(Match(Path.REGEX if path else Path.ANY, path, method),) if path or method else (),
        timeout_ms=reader.read("timeout", duration_ms, None),
        retryable=reader.read("isRetryable", _bool, False),
        response_classes=tuple(
            _response_class(f"{where}.responseClasses[{number}]", one, faults) for number, one in enumerate(classes)
        ),
    )
    return route if len(faults) == before else None


def _response_class(where: str, raw: Any, faults: list[str]) -> ResponseClass:
    reader = _Reader(where, raw, faults)
    status = reader.part("condition").part("status")
    status.require("min")
    low = status.read("min", _status, 0)
    return ResponseClass(low, status.read("max", _status, low), reader.read("isFailure", _bool, True))


def _budget(reader: _Reader, whose: str) -> RetryBudget:
    """What it does not say is the default's; a faulty one: no retries."""
    default = RetryBudget()
    budget = RetryBudget(
        reader.read("retryRatio", _permille, default.ratio_permille),
        reader.read("minRetriesPerSecond", _count, default.min_retries_per_second),
        reader.read("ttl", window_ms, default.ttl_ms),
        origin=whose,
    )
    return budget if reader.sound else RetryBudget(0, 0, origin=whose)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("is not a list")  # noqa: TRY004 (a fault of the object, not of the caller)
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 128:
        raise ValueError("is not a text of 1-128 characters")
    return value


def _method(value: Any) -> str:
    if not isinstance(value, str) or not _METHOD.fullmatch(value):
        raise ValueError(f"{value!r} is no HTTP method")
    return value.upper()


def _regex(value: Any) -> str:
    if not isinstance(value, str) or len(value) > PATH_REGEX_MAX:
        raise ValueError(f"is not a text of at most {PATH_REGEX_MAX} characters")
    try:
        check_pattern(value)
    except PatternError as error:
        raise ValueError(f"{value!r}: {error}") from None
    return value


def _template(value: Any) -> str:
    if not isinstance(value, str) or len(value) > PATH_MAX:
        raise ValueError(f"is not a text of at most {PATH_MAX} characters")
    return path_regex(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")  # noqa: TRY004
    return value


def _status(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 100 <= value <= 599:
        raise ValueError(f"{value!r} is no status from 100 to 599")
    return value


def _permille(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is not between 0 and 1")
    return round(value * 1000)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise ValueError(f"{value!r} is not a whole number from 0")
    return value
