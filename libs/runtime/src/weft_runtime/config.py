"""Configuration from the environment: a frozen dataclass whose fields are the table of settings."""

import dataclasses
from collections.abc import Callable, Mapping
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
