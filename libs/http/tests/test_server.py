"""The server, asked byte by byte and by aiohttp's client."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from weft_http import server
from weft_http.message import Refused, Request, Response, Send
from weft_http.server import MAX_HEAD, serving
from weft_testkit.listen import asking

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def echo(request: Request) -> Response:
    """Answers with the body, or the path when there is none."""
    return Response(request.body() or request.target.encode())


@asynccontextmanager
async def connected(
    handler: Callable[[Request], Awaitable[Response]] = echo,
    max_body: int = 1000,
    on_refused: Callable[[int], object] = lambda _: None,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that answers by `handler`."""
    async with serving(handler, "127.0.0.1", 0, max_body=max_body, on_refused=on_refused) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()


async def sent(message: bytes, on_refused: Callable[[int], object] = lambda _: None) -> bytes:
    """All that a server says to these bytes, and that it then closes the connection."""
    async with connected(on_refused=on_refused) as (reader, writer):
        writer.write(message)
        return await reader.read()


async def test_requests_of_one_connection_are_answered_in_order() -> None:
    """Also when they come together; the last one ends the connection."""
    last = b"GET /c HTTP/1.1\r\nConnection: close\r\n\r\n"
    said = await sent(b"GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi" + last)
    assert [part.rpartition(b"\r\n\r\n")[2] for part in said.split(b"HTTP/1.1 200 OK")[1:]] == [b"/a", b"hi", b"/c"]


async def test_a_body_may_come_in_chunks_byte_by_byte() -> None:
    """As any client of HTTP/1.1 may send it."""
    async with connected() as (reader, writer):
        for byte in b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n":
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"abcde")).startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n")


async def test_a_client_that_waits_for_leave_gets_it() -> None:
    """Expect: 100-continue."""
    async with connected() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /" + b"a" * MAX_HEAD, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD, 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * MAX_HEAD, 431),
    ],
    ids=["TLS", "no length", "two lengths", "HTTP/2", "endless target", "endless header", "endless trailer"],
)
async def test_garbage_is_refused_and_the_connection_closed(message: bytes, status: int) -> None:
    """With a status, of which the owner hears once; nothing of it is kept."""
    heard: list[int] = []
    assert (await sent(message, heard.append)).startswith(b"HTTP/1.1 %d " % status)
    assert heard == [status]


TOKENS = [
    GET,
    b"POST / HTTP/1.1\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
]
TOKENS += [
    b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
    b"CONNECT x:1 HTTP/1.1\r\n",
    b"\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b": \xff",
]
ANY_BYTES = st.lists(st.sampled_from(TOKENS) | st.binary(max_size=40), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=ANY_BYTES)
async def test_any_bytes_are_answered_or_the_connection_closed(
    monkeypatch: pytest.MonkeyPatch, parts: list[bytes]
) -> None:
    """However they come: an answer of HTTP/1.1 or none, no error beside, and the next client is served."""
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    async with serving(echo, "127.0.0.1", 0, max_body=1000, on_error=errors.append) as port:
        with monkeypatch.context() as impatient:
            impatient.setattr(server, "REQUEST_SECONDS", 0.02)
            impatient.setattr(server, "IDLE_SECONDS", 0.02)
            said = await _said(port, parts)
        assert re.match(rb"HTTP/1\.1 (100|200|4\d\d) |$", said)
        assert (await _said(port, [b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"])).endswith(b"\r\n\r\n/")
    assert errors == []


async def _said(port: int, parts: list[bytes]) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_body_that_is_too_long_is_not_kept_and_the_next_request_served() -> None:
    """413, also when its length is not told before."""
    statuses = []
    async with asking(echo, max_body=1000) as session:
        for data in (b"x" * 1001, io.BytesIO(b"x" * 1001), b"x" * 1000):
            async with session.post("/", data=data) as response:
                statuses.append(response.status)
    assert statuses == [413, 413, 200]


async def test_a_handlers_fault_is_told_to_the_client_and_to_the_owner() -> None:
    """500, without the reason; a refusal has its own status."""

    async def stumble(request: Request) -> Response:
        raise KeyError("secret") if request.target == "/" else Refused(404, "no such page\n")

    heard: list[Exception] = []
    async with asking(stumble, on_error=heard.append) as session:
        async with session.get("/") as response:
            fault = (response.status, await response.text())
        async with session.get("/x") as response:
            refusal = (response.status, await response.text())
    assert (fault, refusal, len(heard)) == ((500, "Internal Server Error\n"), (404, "no such page\n"), 1)


async def test_a_status_without_a_name_is_passed_on() -> None:
    """It may be another server's."""

    async def strange(_: Request) -> Response:
        return Response(status=499)

    async with asking(strange) as session, session.get("/") as response:
        assert (response.status, response.reason) == (499, "Unknown")


async def test_a_handler_ends_when_its_client_has_left() -> None:
    """Streams without news would never notice."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def forever(_: Request) -> Response:
        try:
            begun.set()
            return await asyncio.Future()
        finally:
            ended.set()

    async with connected(forever) as (_, writer):
        writer.write(GET)
        await begun.wait()
        writer.close()
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_client_that_stops_reading_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does not take is not made, and what was made is not held for long."""
    monkeypatch.setattr(server, "WRITE_SECONDS", 0.1)
    ended, sends = asyncio.Event(), 0

    async def stream(send: Send) -> None:
        nonlocal sends
        try:
            while True:
                await send(b"x" * 2**16)
                sends += 1
        finally:
            ended.set()

    async def endless(_: Request) -> Response:
        return Response(stream)

    async with connected(endless) as (_, writer):
        writer.write(GET)
        await asyncio.wait_for(ended.wait(), 5)
    assert sends < 200


async def test_a_head_is_the_answer_without_its_body() -> None:
    """As for GET, with its length; the next request is answered as usual."""
    said = await sent(b"HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nConnection: close\r\n\r\n")
    heads = [part.partition(b"\r\n\r\n") for part in said.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert [(head.split(b"\r\n")[0], body) for head, _, body in heads] == [
        (b"Content-Length: 2", b""),
        (b"Content-Length: 2", b"/b"),
    ]


@pytest.mark.parametrize(
    ("limit", "message"), [("IDLE_SECONDS", b""), ("REQUEST_SECONDS", b"GET / HTTP/1.1\r\nX-Slow: ")]
)
async def test_a_client_that_does_not_ask_is_disconnected(
    monkeypatch: pytest.MonkeyPatch, limit: str, message: bytes
) -> None:
    """Without a request, or in the middle of one."""
    monkeypatch.setattr(server, limit, 0.1)
    assert await sent(message) == b""


async def test_connections_are_counted_and_the_oldest_idle_one_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody keeps others out by holding connections; who is being answered is not cut off."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        begun.set()
        await go_on.wait()
        return await echo(request)

    async with serving(slow, "127.0.0.1", 0) as port:
        idle, first = await asyncio.open_connection("127.0.0.1", port)
        busy, second = await asyncio.open_connection("127.0.0.1", port)
        assert await idle.read() == b""
        second.write(GET)
        await begun.wait()
        refused, third = await asyncio.open_connection("127.0.0.1", port)
        assert await refused.read() == b""
        go_on.set()
        assert await busy.readuntil(b"\r\n\r\n/")
        for writer in (first, second, third):
            writer.close()


async def test_what_is_in_flight_is_finished_at_the_end() -> None:
    """An idle connection ends at once, a busy one with its answer."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Response:
        begun.set()
        await go_on.wait()
        return Response(b"done")

    async with serving(slow, "127.0.0.1", 0) as port:
        idle, nothing = await asyncio.open_connection("127.0.0.1", port)
        busy, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, go_on.set)
    assert (await idle.read(), (await busy.read()).endswith(b"Connection: close\r\n\r\ndone")) == (b"", True)
    nothing.close()
    writer.close()
