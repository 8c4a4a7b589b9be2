"""Label selectors as kubectl's -l: `a=b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b,c)`. Pure."""

import re
from collections.abc import Callable, Mapping

Requirement = tuple[str, str, tuple[str, ...]]
"""Label, operator (in, notin, exists, absent), values."""
Selector = tuple[Requirement, ...]

_LABEL = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"[-A-Za-z0-9_.]*"
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"({_LABEL})\s*!=\s*({_VALUE})"), "notin"),
    (re.compile(rf"({_LABEL})\s*==?\s*({_VALUE})"), "in"),
    (re.compile(rf"({_LABEL})\s+in\s+\(([^()]*)\)"), "in"),
    (re.compile(rf"({_LABEL})\s+notin\s+\(([^()]*)\)"), "notin"),
    (re.compile(rf"!\s*({_LABEL})"), "absent"),
    (re.compile(rf"({_LABEL})"), "exists"),
)
_COMMA = re.compile(r",(?![^(]*\))")

_TESTS: dict[str, Callable[[str | None, tuple[str, ...]], bool]] = {
    "in": lambda value, wanted: value in wanted,
    "notin": lambda value, wanted: value not in wanted,
    "exists": lambda value, _: value is not None,
    "absent": lambda value, _: value is None,
}


def parse_selector(text: str) -> Selector:
    """The requirements, all of which must hold; ValueError names the part at fault."""
    return tuple(_requirement(part.strip()) for part in _COMMA.split(text) if part.strip())


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Do the labels meet every requirement?"""
    return all(_TESTS[operator](labels.get(label), values) for label, operator, values in selector)


def _requirement(part: str) -> Requirement:
    for form, operator in _FORMS:
        if match := form.fullmatch(part):
            values = tuple(value.strip() for value in match[2].split(",")) if form.groups == 2 else ()
            return match[1], operator, values
    raise ValueError(f"{part!r} is not a label requirement")
