"""What a server's handler gets and gives. Pure."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote


def phrase(status: int) -> str:
    """What people call a status; it may be another server's, of its own making."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """A handler's answer in place of a response: status and text."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text or f"{phrase(status)}\n"


class Headers(Mapping[str, str]):
    """Header fields by name, in any case; of several with one name, `[]` and `get` give the first."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}

    def add(self, name: str, value: str) -> None:
        """One more field."""
        self._values.setdefault(name.lower(), []).append(value)

    def getall(self, name: str, default: list[str]) -> list[str]:
        """All values of one name."""
        return self._values.get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(slots=True)
class Request:
    """A request whose body has come in whole. `params` are the path's, as the route names them."""

    method: str
    target: str
    headers: Headers
    remote: str = ""
    """The client's address."""
    certificate: Mapping[str, Any] | None = None
    """The client's, verified, as the module ssl gives it."""
    route: str = ""
    """The path of the route that answers, as it was added: bounded in number, unlike `path`."""
    params: dict[str, str] = field(default_factory=dict)
    content: bytes | None = b""
    """None: it was longer than the server takes."""

    @property
    def path(self) -> str:
        """Without the query; still encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """Parameters, decoded; the first of each name."""
        pairs = parse_qsl(self.target.partition("?")[2], keep_blank_values=True)
        return dict(reversed(pairs))

    def body(self) -> bytes:
        """The content; Refused(413) when it was too long."""
        if self.content is None:
            raise Refused(413)
        return self.content

    def matches(self, segments: list[str]) -> bool:
        """Does the path have these segments? "{name}" takes any, into `params`."""
        found = self.path.split("/")
        if len(found) != len(segments):
            return False
        pairs = list(zip(segments, found, strict=True))
        if any(not wanted.startswith("{") and wanted != is_ for wanted, is_ in pairs):
            return False
        self.params = {wanted[1:-1]: unquote(is_) for wanted, is_ in pairs if wanted.startswith("{")}
        return True


Send = Callable[[bytes], Awaitable[None]]
"""Returns when the client has taken the bytes."""

Stream = Callable[[Send], Awaitable[None]]
"""Sends a body piece by piece; cancelled when the client leaves or takes nothing for too long."""


@dataclass(slots=True)
class Response:
    """An answer, whole or as a stream."""

    body: bytes | Stream = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
