"""An application that believes nothing: it takes HTTP/1 to the letter and keeps what it was sent."""

import re
import socket
from dataclasses import dataclass
from typing import BinaryIO

from listener import Listener
from netns import Namespace

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class AmbiguousError(Exception):
    """Two readers could take the bytes for different messages."""


@dataclass(frozen=True)
class Message:
    """One request, framed in the only way there is."""

    line: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def target(self) -> str:
        """Of the request line."""
        return self.line.split(b" ")[1].decode()


class Recorder(Listener):
    """Listens on a port of a namespace; use as a context manager."""

    def __init__(self, namespace: Namespace, port: int) -> None:
        super().__init__(namespace, port)
        self.messages: list[Message] = []
        self.faults: list[str] = []

    def serve(self, sock: socket.socket) -> None:
        """Every request that it carries."""
        with sock.makefile("rb") as stream:
            try:
                while message := read(stream):
                    self.messages.append(message)
                    sock.sendall(ANSWER)
            except AmbiguousError as error:
                self.faults.append(str(error))
            except EOFError:
                pass  # cut off in the middle: no request at all


def read(stream: BinaryIO) -> Message | None:
    """The next request; None at the end of the stream."""
    line = _line(stream)
    if line is None:
        return None
    if not re.fullmatch(rb"[A-Z]+ [\x21-\x7e]+ HTTP/1\.[01]", line):
        raise AmbiguousError(f"request line {line!r}")
    headers = []
    while field := _line(stream) or b"":
        name, colon, value = field.partition(b":")
        if not colon or not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
            raise AmbiguousError(f"header {field!r}")
        headers.append((name.lower(), value.strip(b" \t")))
    return Message(line, tuple(headers), _body(stream, headers))


def _body(stream: BinaryIO, headers: list[tuple[bytes, bytes]]) -> bytes:
    framing = [(name, value) for name, value in headers if name in {b"content-length", b"transfer-encoding"}]
    hosts = [value for name, value in headers if name == b"host"]
    if len(framing) > 1 or len(hosts) > 1:
        raise AmbiguousError(f"{framing} {hosts}")
    if not framing:
        return b""
    name, value = framing[0]
    if name == b"transfer-encoding":
        if value.lower() != b"chunked":
            raise AmbiguousError(f"transfer-encoding {value!r}")
        return _chunks(stream)
    if not re.fullmatch(rb"[0-9]+", value):
        raise AmbiguousError(f"content-length {value!r}")
    return _exactly(stream, int(value))


def _chunks(stream: BinaryIO) -> bytes:
    body = b""
    while True:
        size = _line(stream)
        if size is None:
            raise EOFError
        if not re.fullmatch(rb"[0-9a-fA-F]+", size):
            raise AmbiguousError(f"chunk size {size!r}")
        if int(size, 16) == 0:
            break
        body += _exactly(stream, int(size, 16))
        end = _line(stream)
        if end is None:
            raise EOFError
        if end != b"":
            raise AmbiguousError("chunk without end")
    while _line(stream):
        pass
    return body


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _line(stream: BinaryIO) -> bytes | None:
    line = stream.readline(1 << 20)
    if not line:
        return None
    if not line.endswith(b"\n"):
        raise EOFError
    if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
        raise AmbiguousError(f"line {line!r}")
    return line[:-2]
