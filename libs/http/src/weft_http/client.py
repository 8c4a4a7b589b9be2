"""Requests to one HTTP/1.1 server, over connections that are kept."""

import asyncio
import ssl as tls
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httptools

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 15.0
"""A connection that was idle for longer is not used again: the server may just be closing it."""

READ = 2**16


class BrokenError(ConnectionError):
    """The server ended in the middle, or does not speak HTTP."""


class Client:
    """Opens as many connections as there are requests at once."""

    def __init__(self, url: str, ssl: tls.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._authority = parts.netloc
        self._ssl = (ssl or tls.create_default_context()) if parts.scheme == "https" else None
        self._idle: deque[tuple[float, _Connection]] = deque()

    @asynccontextmanager
    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> AsyncIterator["Answer"]:
        """The answer, once its head is there. `target` is encoded already. ConnectionError when there is none."""
        connection = self._kept() or await self._open()
        try:
            await connection.send(_head(method, target, {"Host": self._authority, **headers}, body))
            yield Answer(connection)
        finally:
            if connection.reusable:
                self._idle.append((asyncio.get_running_loop().time(), connection))
            else:
                connection.abort()

    def close(self) -> None:
        """Ends what is idle; requests under way end their connections themselves."""
        while self._idle:
            self._idle.pop()[1].abort()

    def _kept(self) -> "_Connection | None":
        """The connection used last, if it is open still; those that nobody needed for long are closed."""
        oldest = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle and self._idle[0][0] < oldest:
            self._idle.popleft()[1].abort()
        while self._idle:
            connection = self._idle.pop()[1]
            if connection.open:
                return connection
            connection.abort()
        return None

    async def _open(self) -> "_Connection":
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return _Connection(*await asyncio.open_connection(self._host, self._port, ssl=self._ssl))
        except TimeoutError:
            raise ConnectionError(f"{self._authority} does not answer within {CONNECT_SECONDS:g} s") from None


def _head(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    fields = {**headers, "Content-Length": str(len(body))} if body else headers
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a request's head")
    return "\r\n".join([*lines, "\r\n"]).encode() + body


class Answer:
    """A response whose head has come. Its body is read once, in one of three ways."""

    def __init__(self, connection: "_Connection") -> None:
        self.status = connection.status
        self._connection = connection

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        while (part := await self._connection.part()) is not None:
            yield part

    async def read(self) -> bytes:
        """All of the body."""
        return b"".join([part async for part in self.parts()])

    async def lines(self, longest: int) -> AsyncIterator[bytes]:
        """Whole lines as they come, without their ends; BrokenError for one of more than `longest` bytes."""
        rest = bytearray()
        async for part in self.parts():
            rest += part
            if b"\n" in part:
                *lines, last = rest.split(b"\n")
                rest = last
                for line in lines:
                    yield bytes(line)
            if len(rest) > longest:
                raise BrokenError(f"a line of more than {longest} bytes")
        if rest:
            yield bytes(rest)


class _Connection:
    """One request after another. What the parser finds, it tells the `on_` methods."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpResponseParser(self)
        self._parts: deque[bytes] = deque()
        self._headed = self._complete = self._reusable = False
        self.status = 0

    @property
    def open(self) -> bool:
        """Has the server not closed it?"""
        return not (self._reader.at_eof() or self._writer.is_closing())

    @property
    def reusable(self) -> bool:
        """Has the whole answer been taken, and may another request follow?"""
        return self._complete and not self._parts and self._reusable and self.open

    async def send(self, message: bytes) -> None:
        """Sends a request and waits for the answer's head."""
        self._headed = self._complete = self._reusable = False
        self._writer.write(message)
        await self._writer.drain()
        while not self._headed:
            await self._feed()

    async def part(self) -> bytes | None:
        """The next piece of the body; None at its end."""
        while not self._parts:
            if self._complete:
                return None
            await self._feed()
        return self._parts.popleft()

    async def _feed(self) -> None:
        data = await self._reader.read(READ)
        if not data:
            raise BrokenError("the server closed the connection before its answer was complete")
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BrokenError(f"the answer is not HTTP/1.1: {error}") from error

    def abort(self) -> None:
        """Closes it, whatever is under way."""
        self._writer.transport.abort()

    def on_headers_complete(self) -> None:
        """Called by the parser; a 1xx is only a word before the answer."""
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        self._parts.append(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._complete = self._headed
        self._reusable = self._parser.should_keep_alive()
