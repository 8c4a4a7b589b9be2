"""Configuration from the environment: a frozen dataclass whose fields are the table of settings."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

C = TypeVar("C")

EX_CONFIG = 64
"""Exit code for a faulty configuration."""


class ConfigError(Exception):
    """Every fault at once, a line each."""


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or whom to call: host and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Parses "host:port" and "[v6]:port"."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("is not host:port")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours"}


def duration(text: str) -> timedelta:
    """Parses "300ms", "24h", "1m30s"."""
    parts = re.findall(r"(\d{1,9})(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError('is no duration like "300ms" or "24h"')
    return sum((timedelta(**{_UNITS[unit]: int(number)}) for number, unit in parts), timedelta())


def env(name: str, parse: Callable[[str], Any] = str, *, default: str | None = None, doc: str = "") -> Any:
    """A field read from the environment; without a default it must be set."""
    return dataclasses.field(metadata={"env": name, "parse": parse, "default": default, "doc": doc})


def load(cls: type[C], environ: Mapping[str, str]) -> C:
    """An instance of `cls`; raises ConfigError that names every variable at fault."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name, default = field.metadata["env"], field.metadata["default"]
        text = environ.get(name, default)
        if text is None:
            faults.append(f"{name} is not set: {field.metadata['doc']}")
            continue
        try:
            values[field.name] = field.metadata["parse"](text)
        except ValueError as error:
            faults.append(f"{name}={text!r} {error}")
    if faults:
        raise ConfigError("\n".join(faults))
    return cls(**values)
