"""An HTTP/1.1 server: bounded in what it takes, in what it holds and in how long it waits."""

import asyncio
import ssl as tls
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httptools

from weft_http.message import Headers, Refused, Request, Response, phrase
from weft_http.routes import Handler

MAX_CONNECTIONS = 1000
MAX_HEAD = 2**16
MAX_BODY = 2**16
PIPELINED = 8
"""Requests of one connection that wait; then it is not read from."""

IDLE_SECONDS = 120.0
"""Without a request. Go's clients, the API server among them, give an idle connection up after 90 s: so no request of
theirs meets one that we close."""

REQUEST_SECONDS = 30.0
"""From a request's first byte to its last."""

WRITE_SECONDS = 30.0
"""In which a client takes what was written; then it is disconnected, for what it does not read is held here."""

HANDSHAKE_SECONDS = 10.0
DRAIN_SECONDS = 10.0
CLOSE = {"Connection": "close"}


@asynccontextmanager
async def serving(
    handler: Handler,
    host: str,
    port: int,
    *,
    ssl: tls.SSLContext | None = None,
    max_body: int = MAX_BODY,
    on_error: Callable[[Exception], object] = lambda _: None,
    on_refused: Callable[[int], object] = lambda _: None,
) -> AsyncIterator[int]:
    """Serves while the block runs, which gets the port; what is in flight then has 10 s to finish.

    `on_error` hears what a handler stumbled over; its client gets 500. `on_refused` hears the status of what was no
    request, 400 or 431, and came to no handler.
    """
    async with asyncio.TaskGroup() as tasks:
        server = _Server(handler, tasks, max_body, on_error, on_refused)
        patience = HANDSHAKE_SECONDS if ssl else None
        listening = await asyncio.get_running_loop().create_server(
            lambda: _Connection(server), host, port, ssl=ssl, ssl_handshake_timeout=patience
        )
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            listening.close()
            await server.drain()


class _Server:
    """What its connections share."""

    def __init__(
        self,
        handler: Handler,
        tasks: asyncio.TaskGroup,
        max_body: int,
        on_error: Callable[[Exception], object],
        on_refused: Callable[[int], object],
    ) -> None:
        self.max_body = max_body
        self.on_error = on_error
        self.on_refused = on_refused
        self.stopping = False
        self._handler = handler
        self._tasks = tasks
        self._running: dict[_Connection, asyncio.Task[None]] = {}

    def opened(self, connection: "_Connection") -> bool:
        """A client has come; False when there are too many. One that asks nothing just now makes room: the oldest."""
        full = len(self._running) >= MAX_CONNECTIONS
        if self.stopping or (full and not any(each.end_if_idle() for each in self._running)):
            return False
        self._running[connection] = self._tasks.create_task(connection.run())
        return True

    def closed(self, connection: "_Connection") -> None:
        """A client has left: nobody waits for its answer."""
        if task := self._running.pop(connection, None):
            task.cancel()

    async def answer(self, request: Request) -> Response:
        """The handler's, or what became of it."""
        try:
            return await self._handler(request)
        except Refused as refusal:
            return Response(refusal.text.encode(), refusal.status)
        except Exception as error:  # noqa: BLE001 (one request must not end the others)
            self.on_error(error)
            return Response(b"Internal Server Error\n", 500)

    async def drain(self) -> None:
        """Ends what is idle at once, the rest when it has answered, or after DRAIN_SECONDS."""
        self.stopping = True
        for connection in list(self._running):
            connection.end_if_idle()
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=DRAIN_SECONDS)
        for task in list(self._running.values()):
            task.cancel()


class _Connection(asyncio.Protocol):
    """One client. What the parser finds, it tells the `on_` methods; `run` answers in order."""

    _transport: asyncio.Transport

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request | Refused] = deque()
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._patience: asyncio.Timeout | None = None
        self._keep, self._broken, self._idle = True, False, True
        self._reset()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = transport  # type: ignore[assignment]
        self._transport.set_write_buffer_limits(1, 0)  # TLS never resumes at a high mark of 0
        if not self._server.opened(self):
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """It has left."""
        self._server.closed(self)

    def pause_writing(self) -> None:
        """It does not read what was written."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has read all."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests. Of heads, trailers and frames of chunks so much is taken, and as much as the body has."""
        if self._broken:
            return
        self._taken += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(400, f"not a request of HTTP/1.1: {error}\n")
        if self._taken > MAX_HEAD + 2 * self._length and not self._broken:
            self._refuse(431, f"a head of more than {MAX_HEAD} bytes\n")
        if len(self._waiting) >= PIPELINED:
            self._transport.pause_reading()

    def _refuse(self, status: int, text: str) -> None:
        """The last thing that this connection is told."""
        self._keep, self._broken = False, True
        self._waiting.append(Refused(status, text))
        self._server.on_refused(status)
        self._news.set()

    # What the parser calls

    def on_message_begin(self) -> None:
        """A request begins: from now on it must come soon."""
        if self._patience:
            self._patience.reschedule(asyncio.get_running_loop().time() + REQUEST_SECONDS)
        self._begun = True

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field."""
        self._headers.add(name.decode("latin-1"), (value or b"").decode("latin-1"))

    def on_headers_complete(self) -> None:
        """A client may wait for leave before it sends the body."""
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        """A piece of the body; one that is too long is not kept."""
        self._length += len(data)
        if self._length <= self._server.max_body:
            self._body += data
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        """A request has come in whole."""
        content = bytes(self._body) if self._length <= self._server.max_body else None
        peer = self._transport.get_extra_info("peername")
        self._waiting.append(
            Request(
                self._parser.get_method().decode("latin-1"),
                self._target.decode("latin-1"),
                self._headers,
                remote=peer[0] if peer else "",
                certificate=self._transport.get_extra_info("peercert"),
                content=content,
            )
        )
        self._keep = self._keep and self._parser.should_keep_alive()
        self._news.set()
        self._reset()

    def _reset(self) -> None:
        self._target, self._headers, self._body = b"", Headers(), bytearray()
        self._taken = self._length = 0
        self._begun = False

    # What answers

    async def run(self) -> None:
        """Request after request, until either side has enough."""
        ended = False
        try:
            while await self._serve(await self._next()):
                pass
            ended = True
        except (ConnectionError, TimeoutError):
            pass  # it does not ask, does not read, or has left
        except Exception as error:  # noqa: BLE001 (a body that breaks off must not end the other connections)
            self._server.on_error(error)
        finally:
            (self._transport.close if ended else self._transport.abort)()

    def end_if_idle(self) -> bool:
        """Ends it, unless a request of it is being answered or it has ended already; did it?"""
        ending = self._idle and not self._transport.is_closing()
        if ending:
            self._transport.close()
        return ending

    async def _next(self) -> Request | Refused:
        seconds = REQUEST_SECONDS if self._begun else IDLE_SECONDS
        self._idle = True
        async with asyncio.timeout(seconds) as self._patience:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
        self._patience, self._idle = None, False
        self._transport.resume_reading()
        return self._waiting.popleft()

    async def _serve(self, request: Request | Refused) -> bool:
        """Answers; may another request follow?"""
        if isinstance(request, Refused):
            await self._write(Response(request.text.encode(), request.status, headers=CLOSE))
            return False
        response = await self._server.answer(request)
        more = (self._keep or bool(self._waiting)) and not self._server.stopping
        if not more:
            response.headers = {**response.headers, **CLOSE}
        await self._write(response, head_only=request.method == "HEAD")
        return more

    async def _write(self, response: Response, *, head_only: bool = False) -> None:
        if isinstance(response.body, bytes):
            head = _head(response, f"Content-Length: {len(response.body)}")
            await self._send(head if head_only else head + response.body)
            return
        if head_only:
            await self._send(_head(response, "Content-Length: 0"))
            return
        await self._send(_head(response, "Transfer-Encoding: chunked"))
        await response.body(self._send_chunk)
        await self._send(b"0\r\n\r\n")

    async def _send_chunk(self, part: bytes) -> None:
        if part:  # an empty chunk is the last
            await self._send(b"%x\r\n%b\r\n" % (len(part), part))

    async def _send(self, data: bytes) -> None:
        """Returns when the client has taken it; TimeoutError when it does not."""
        self._transport.write(data)
        if not self._writable.is_set():
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writable.wait()


def _head(response: Response, length: str) -> bytes:
    fields: dict[str, Any] = {"Content-Type": response.content_type, **response.headers}
    lines = [f"HTTP/1.1 {response.status} {phrase(response.status)}", length]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1", "replace")
