"""The client, against the server beside it and against bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from weft_http import client as module
from weft_http.client import BrokenError, Client
from weft_http.message import Request, Response, Send
from weft_http.server import serving
from weft_testkit.wait import until


async def echo(request: Request) -> Response:
    """Answers with what was asked."""
    return Response(f"{request.method} {request.target} {request.body().decode()}".encode(), status=201)


async def ask(client: Client, target: str = "/", body: bytes = b"") -> tuple[int, bytes]:
    """Status and body."""
    async with client.request("POST", target, {}, body) as answer:
        return answer.status, await answer.read()


@asynccontextmanager
async def saying(*answers: bytes) -> AsyncIterator[tuple[Client, list[int]]]:
    """A client of a server that says one of these to each connection's first bytes and closes; connections counted."""
    opened: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(1)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers[len(opened) - 1])
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = Client(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    try:
        yield client, opened
    finally:
        client.close()
        listening.close()


async def test_a_request_is_answered() -> None:
    """Status and body, whole."""
    async with serving(echo, "127.0.0.1", 0) as port:
        client = Client(f"http://127.0.0.1:{port}")
        assert await ask(client, "/a?b=c", b"hello") == (201, b"POST /a?b=c hello")
        client.close()


async def test_connections_are_kept_and_as_many_as_there_are_requests_at_once() -> None:
    """Ten one after another need one, three together need three."""
    opened = 0
    together = asyncio.Barrier(3)

    async def handler(request: Request) -> Response:
        if request.target == "/wait":
            await together.wait()
        return Response()

    async def counted(*where: object, **how: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        nonlocal opened
        opened += 1
        return await open_connection(*where, **how)  # type: ignore[arg-type]

    open_connection = asyncio.open_connection
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.asyncio, "open_connection", counted)
        async with serving(handler, "127.0.0.1", 0) as port:
            client = Client(f"http://127.0.0.1:{port}")
            for _ in range(10):
                await ask(client)
            one_after_another = opened
            await asyncio.gather(*(ask(client, "/wait") for _ in range(3)))
            client.close()
    assert (one_after_another, opened) == (1, 3)


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    """Its answer had promised to keep it."""
    kept = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
    async with saying(kept, kept) as (client, opened):
        await ask(client)
        await until(lambda: not client._idle[0][1].open)
        assert await ask(client) == (200, b"a")
        assert len(opened) == 2


async def test_an_idle_connection_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the server closes it while a request is on its way."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    async with serving(echo, "127.0.0.1", 0) as port:
        client = Client(f"http://127.0.0.1:{port}")
        await ask(client)
        [(_, first)] = client._idle
        await ask(client)
        assert not first.open
        client.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    ],
    ids=["nothing", "half a body", "not HTTP", "only a word before", "another protocol"],
)
async def test_an_answer_that_breaks_off_is_an_error(answer: bytes) -> None:
    """A ConnectionError, so that callers try again as for a server that is away."""
    async with saying(answer) as (client, _):
        with pytest.raises(BrokenError):
            await ask(client)


async def test_what_is_not_read_to_its_end_ends_the_connection() -> None:
    """A watch that is given up leaves nothing behind, and the next request gets its own answer."""

    async def forever(send: Send) -> None:
        while True:
            await send(b"event\n")

    async def handler(request: Request) -> Response:
        return Response(forever) if request.target == "/watch" else Response(b"mine")

    async with serving(handler, "127.0.0.1", 0) as port:
        client = Client(f"http://127.0.0.1:{port}")
        async with client.request("GET", "/watch", {}) as answer:
            assert await anext(answer.lines(100)) == b"event"
        assert await ask(client) == (200, b"mine")
        client.close()


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b\nc", b"\n"], [b"ab", b"c"]),
        ([b"a\n", b"rest"], [b"a", b"rest"]),
        ([], []),
    ],
)
async def test_lines_are_whole_however_they_come(pieces: list[bytes], lines: list[bytes]) -> None:
    """The pieces of the network are not those of the sender."""

    async def stream(send: Send) -> None:
        for piece in pieces:
            await send(piece)

    async def handler(_: Request) -> Response:
        return Response(stream)

    async with serving(handler, "127.0.0.1", 0) as port:
        client = Client(f"http://127.0.0.1:{port}")
        async with client.request("GET", "/", {}) as answer:
            assert [line async for line in answer.lines(100)] == lines
        client.close()


async def test_a_line_without_end_is_an_error() -> None:
    """It is not kept beyond its longest length."""
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"x" * 200
    async with saying(long) as (client, _), client.request("GET", "/", {}) as answer:
        with pytest.raises(BrokenError, match="more than 100 bytes"):
            await anext(answer.lines(100))


async def test_a_line_break_in_a_head_is_refused() -> None:
    """A token with one would begin another header."""
    async with serving(echo, "127.0.0.1", 0) as port:
        with pytest.raises(ValueError, match="a line break"):
            async with Client(f"http://127.0.0.1:{port}").request("GET", "/", {"A": "b\r\nC: d"}):
                pass


async def test_a_server_that_is_away_is_a_connection_error() -> None:
    """Whoever calls catches OSError."""
    with pytest.raises(ConnectionError):
        await ask(Client("http://127.0.0.1:1"))
