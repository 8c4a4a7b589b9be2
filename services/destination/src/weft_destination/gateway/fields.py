"""Fields of an object that its schema may not have checked: each of the type that it must have, or a fault."""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]
MAX_PORT = 65535

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class UnsupportedError(ValueError):
    """The field and why weft cannot do it."""


def text(raw: Json, name: str, default: str = "") -> str:
    """A text, or the default where there is none."""
    value = _get(raw, name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise UnsupportedError(f"{name} is no text")
    return value


def token(raw: Json, name: str) -> str:
    """A text that can be a method or the name of a header (RFC 9110, 5.6.2)."""
    value = text(raw, name)
    if not _TOKEN.fullmatch(value):
        raise UnsupportedError(f"{name} {value!r} is no word of HTTP")
    return value


def number(raw: Json, name: str, default: int = 0, at_most: int = MAX_PORT) -> int:
    """A whole number, or the default where there is none."""
    value = _get(raw, name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= at_most:
        raise UnsupportedError(f"{name} is no number from 0 to {at_most}")
    return value


def part(raw: Json, name: str) -> Json | None:
    """An object, or None."""
    value = _get(raw, name)
    if value is not None and not isinstance(value, Mapping):
        raise UnsupportedError(f"{name} is no object")
    return value


def parts(raw: Json, name: str) -> list[Json]:
    """A list of objects."""
    value = _get(raw, name) or []
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise UnsupportedError(f"{name} is no list of objects")
    return value


def texts(raw: Json, name: str) -> tuple[str, ...]:
    """A list of texts."""
    value = _get(raw, name) or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UnsupportedError(f"{name} is no list of texts")
    return tuple(value)


def known(raw: Json, fields: set[str]) -> None:
    """No other field is set."""
    unknown = sorted(str(name) for name, value in raw.items() if name not in fields and value is not None)
    if unknown:
        raise UnsupportedError(f"{', '.join(unknown)} is not supported")


def _get(raw: Json, name: str) -> Any:
    if not isinstance(raw, Mapping):
        raise UnsupportedError("it is no object")
    return raw.get(name)
