"""Types of option values: each parser gives the value's normal form, or raises ValueError that says what is wrong."""

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from weft_kube.names import parse_ports

MAX_VARIABLES = 50
LEVELS = ("off", "error", "warn", "info", "debug")
"""The proxy has no trace compiled in."""


@dataclass(frozen=True, slots=True)
class Type:
    """A type of values: its name in documentation, an example, and the parser."""

    name: str
    example: str
    parse: Callable[[str], str]


def _ports(text: str) -> str:
    return ",".join(str(r.start) if len(r) == 1 else f"{r.start}-{r.stop - 1}" for r in parse_ports(text))


def _port(text: str) -> str:
    ranges = parse_ports(text)
    if len(ranges) != 1 or len(ranges[0]) != 1:
        raise ValueError(f"{text!r} is not one port")
    return str(ranges[0].start)


def _networks(text: str) -> str:
    return ",".join(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())


def _matching(pattern: str, meaning: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.ASCII)

    def parse(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"{_short(text)} is not {meaning}")
        return text

    return parse


def _log_level(text: str) -> str:
    """The proxy takes a word that is no level for a target, and then logs nothing else."""
    for part in text.split(","):
        target, given, level = part.rpartition("=")
        if level.lower() not in LEVELS or (given and not re.fullmatch("[A-Za-z0-9_:-]+", target)):
            raise ValueError(f"{_short(part)} is neither a level ({', '.join(LEVELS)}) nor one for a target (h2=warn)")
    return text


def _variables(text: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f'{_short(text)} is not JSON such as {{"NAME": "value"}}') from None
    if not isinstance(found, dict) or len(found) > MAX_VARIABLES:
        raise ValueError(f"{_short(text)} is not a JSON object of at most {MAX_VARIABLES} variables")
    for name, value in found.items():
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or not isinstance(value, str):
            raise ValueError(f"{_short(name)} is not a name of a variable with a text as its value")
        if name.startswith("WEFT_"):
            raise ValueError(f"{_short(name)} is the proxy's own: set the option for it, if there is one")
    return json.dumps(found)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


PORTS = Type("ports", "25,8000-8010", _ports)
PORT = Type("port", "14143", _port)
NETWORKS = Type("networks", "10.1.0.0/16,fd00::/8", _networks)
QUANTITY = Type(
    "quantity",
    "100m, 64Mi",
    _matching(r"\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,2})?", "a quantity such as 100m or 64Mi"),
)
SIZE = Type("size", "64Mi", _matching(r"[1-9]\d{0,8}[KMG]i", "a size such as 512Ki or 64Mi"))
DURATION = Type("duration", "500ms, 30s, 1h", _matching(r"\d{1,9}(ms|s|m|h)", "a duration such as 500ms or 30s"))
SPAN = Type(
    "duration above 0",
    "500ms, 30s, 1h",
    _matching(r"0*[1-9]\d{0,8}(ms|s|m|h)", "a duration above 0 such as 500ms or 30s"),
)
COUNT = Type("number", "2", _matching("[1-9]|[1-5][0-9]|6[0-4]", "a number between 1 and 64"))
LIMIT = Type("number", "1000", _matching(r"[1-9]\d{0,8}", "a number from 1"))
LOG_LEVEL = Type("log level", "info,h2=warn", _log_level)
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = rf"({_LABEL}(\.{_LABEL})*|\[[0-9A-Fa-f:]+\])(:\d+)?"
_NAME = "[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
IMAGE = Type(
    "image",
    "registry:5000/proxy:1.0",
    _matching(
        rf"({_REGISTRY}/)?{_NAME}(/{_NAME})*(:\w[\w.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?",
        "an image such as registry:5000/proxy:1.0",
    ),
)
VARIABLES = Type("variables", '{"NAME": "value"}', _variables)


def seconds(duration: str) -> float:
    """A duration's length."""
    number = duration.rstrip("msh")
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[duration[len(number) :]]


def one_of(*words: str) -> Type:
    """One of some words."""
    meaning = f"{', '.join(words[:-1])} or {words[-1]}"
    return Type(meaning, words[0], _matching("|".join(words), meaning))
