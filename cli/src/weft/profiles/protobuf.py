"""Routes of the services in a .proto file. Pure."""

import re
from collections.abc import Iterator

from weft.errors import Failure
from weft.profiles.model import Route

_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)\s*;", re.MULTILINE)
_SERVICE = re.compile(r"\bservice\s+(\w+)\s*\{")
_RPC = re.compile(r"\brpc\s+(\w+)\s*\([^)]*\)\s*returns\s*\([^)]*\)")
_REPEATABLE = re.compile(r"\bidempotency_level\s*=\s*(NO_SIDE_EFFECTS|IDEMPOTENT)\b")


def routes(text: str, source: str) -> list[Route]:
    """Every method. One that its `idempotency_level` calls repeatable is retryable."""
    text = _COMMENT.sub(lambda found: found[1] or " ", text)
    package = found[1] + "." if (found := _PACKAGE.search(text)) else ""
    made = [route for name, body in _services(text) for route in _methods(package + name, body)]
    if not made:
        raise Failure(f"{source} has no service with methods", "Give the .proto file that defines the service.")
    return made


def _services(text: str) -> Iterator[tuple[str, str]]:
    for found in _SERVICE.finditer(text):
        yield found[1], _block(text, found.end())


def _methods(service: str, body: str) -> Iterator[Route]:
    methods = list(_RPC.finditer(body))
    for found, following in zip(methods, [*methods[1:], None], strict=True):
        options = body[found.end() : following.start() if following else len(body)]
        yield Route("POST", f"/{service}/{found[1]}", retryable=bool(_REPEATABLE.search(options)))


def _block(text: str, start: int) -> str:
    """From behind a brace to the one that closes it."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position]
    return text[start:]
