"""Rules as values: a rule looks at one value and yields its faults, each with the path of the field. Pure."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from weft_runtime.config import duration


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where: `spec.routes[2].timeout: …`."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


Rule = Callable[[str, Any], Iterator[Fault]]


def record(fields: Mapping[str, Rule], required: Iterable[str] = ()) -> Rule:
    """An object with these fields and no others. A field that is null counts as absent."""
    needed = tuple(required)

    def check(path: str, value: Any) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield Fault(path, f"must be an object, not {kind(value)}")
            return
        for name in value:
            if name not in fields:
                yield Fault(f"{path}.{name}", f"unknown field{did_you_mean(name, fields)}")
        for name in needed:
            if value.get(name) is None:
                yield Fault(f"{path}.{name}", "is missing")
        for name, rule in fields.items():
            if value.get(name) is not None:
                yield from rule(f"{path}.{name}", value[name])

    return check


def each(rule: Rule, at_most: int) -> Rule:
    """A list whose every item keeps a rule."""

    def check(path: str, value: Any) -> Iterator[Fault]:
        if not isinstance(value, list):
            yield Fault(path, f"must be a list, not {kind(value)}")
            return
        if len(value) > at_most:
            yield Fault(path, f"has {len(value)} items; at most {at_most} are allowed")
        for number, item in enumerate(value[:at_most]):
            yield from rule(f"{path}[{number}]", item)

    return check


def boolean(path: str, value: Any) -> Iterator[Fault]:
    """True or false; not a text that looks like it."""
    if not isinstance(value, bool):
        hint = f"; did you mean {value.lower()} without quotes?" if str(value).lower() in ("true", "false") else ""
        yield Fault(path, f"must be true or false, not {kind(value)}{hint}")


def text(longest: int) -> Rule:
    """Printable text of limited length, not empty."""

    def check(path: str, value: Any) -> Iterator[Fault]:
        if not isinstance(value, str):
            yield Fault(path, f"must be a text, not {kind(value)}")
        elif not value.strip():
            yield Fault(path, "must not be empty")
        elif len(value) > longest:
            yield Fault(path, f"has {len(value)} characters; at most {longest} are allowed")
        elif not value.isprintable():
            yield Fault(path, "holds a character that cannot be printed")

    return check


def number(low: float, high: float, *, whole: bool = False) -> Rule:
    """A number within bounds."""

    def check(path: str, value: Any) -> Iterator[Fault]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield Fault(path, f"must be a number, not {kind(value)}")
        elif not low <= value <= high:
            percent = f"; did you mean {value / 100:g}?" if high == 1 and 1 < value <= 100 else ""
            yield Fault(path, f"must be between {low} and {high}, not {shown(value)}{percent}")
        elif whole and value != int(value):
            yield Fault(path, f"must be a whole number, not {value}")

    return check


def span(shortest: str, longest: str) -> Rule:
    """A duration within bounds, spelled like them."""
    low, high = duration(shortest), duration(longest)

    def check(path: str, value: Any) -> Iterator[Fault]:
        try:
            length = duration(value) if isinstance(value, str) else None
        except ValueError:
            length = None
        if length is None:
            yield Fault(path, f'must be a duration like "300ms" or "10s", not {shown(value)}{_with_unit(value)}')
        elif not low <= length <= high:
            yield Fault(path, f"must be between {shortest} and {longest}, not {value}")

    return check


def choice(values: Iterable[str]) -> Rule:
    """One of some words."""
    words = list(values)

    def check(path: str, value: Any) -> Iterator[Fault]:
        if not isinstance(value, str):
            yield Fault(path, f"must be a text, not {kind(value)}")
        elif value not in words:
            yield Fault(path, f"{shown(value)} is none of {', '.join(words)}{did_you_mean(value.upper(), words)}")

    return check


def kind(value: Any) -> str:
    """What sort of JSON value this is, for people."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def shown(value: Any) -> str:
    """A value as a message may hold it: not long."""
    spelled = f'"{value}"' if isinstance(value, str) else str(value)
    return spelled if len(spelled) <= 60 else f"{spelled[:57]}…"


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """A suggestion, when a word resembles one of those allowed."""
    folded = {each.lower(): each for each in words}
    close = difflib.get_close_matches(word.lower()[:100], folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[close[0]]}?" if close else ""


def _with_unit(value: Any) -> str:
    """A suggestion for a number without unit, and for one with a fraction."""
    found = re.fullmatch(r"(\d{1,6})(\.\d{1,3})?s?", str(value))
    if not found:
        return ""
    if found[2]:
        return f'; did you mean "{round(float(found[1] + found[2]) * 1000)}ms"?'
    return f'; did you mean "{found[1]}ms" or "{found[1]}s"?'
