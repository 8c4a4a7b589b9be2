"""Frames that cost the sender little and the receiver much: each way in bears them or closes the connection."""

from collections.abc import Callable

import pytest
from hostile import GET, PATIENCE, POST, SCALE, Bystander, Http2, unharmed
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)
from mesh import HTTP2, MESHED, SERVER_POD, Mesh, eventually

ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR = 11, 1, 9
WINDOW = 4
"""SETTINGS_INITIAL_WINDOW_SIZE."""

Dial = Callable[..., Http2]


@pytest.fixture(params=["outbound", "inbound", "inbound-mesh"])
def dial(request: pytest.FixtureRequest, seasoned: Mesh) -> Dial:
    """Each way in: the application of a meshed pod, a client without proxy, a peer with a certificate."""

    mesh = seasoned

    def connect(settings: dict[int, int] | None = None, *, reads: bool = True) -> Http2:
        ways = {
            "outbound": lambda: mesh.client.namespace.connect((MESHED, HTTP2)),
            "inbound": lambda: mesh.node.connect((SERVER_POD, HTTP2)),
            "inbound-mesh": lambda: mesh.peer(HTTP2),
        }
        return Http2(ways[request.param](), settings, reads)

    return connect


def test_rapid_reset(mesh: Mesh, dial: Dial) -> None:
    """Requests that are cancelled at once (CVE-2023-44487)."""
    with unharmed(mesh):
        client = dial()
        for stream in range(1, 20_000 * SCALE, 2):
            if not client.send(client.headers(stream) + RstStreamFrame(stream, error_code=8).serialize()):
                break
        assert not client.alive() or client.goaway() is None
        client.close()


def test_continuation_flood(mesh: Mesh, dial: Dial) -> None:
    """Headers that never end (CVE-2024-27316): refused before they fill memory."""
    with unharmed(mesh):
        client = dial()
        client.send(HeadersFrame(1, client.encoder.encode(GET)).serialize())
        sent = 0
        literal = b"\x00\x01a" + b"\x7f\xb9\x7e" + b"x" * 16_440  # a literal that is not indexed, one frame each
        piece = ContinuationFrame(1, literal[:16_384]).serialize()
        while sent < 50 << 20 and client.send(piece) and not client.closed.is_set():
            sent += len(piece)
        eventually("the connection ends", client.closed.is_set, PATIENCE)
        assert sent < 8 << 20
        client.close()


def test_hpack_bomb(mesh: Mesh, dial: Dial) -> None:
    """One byte that stands for 4 kB, ten thousand times over: the header list is limited, not its wire size."""
    with unharmed(mesh):
        client = dial()
        client.send(client.headers(1, (*GET, ("bomb", "x" * 4000))))
        index = bytes([0x80 | 62])  # the newest entry of the dynamic table
        for stream in range(3, 2 * 20 * SCALE + 3, 2):
            block = client.encoder.encode(GET) + index * 10_000
            if not client.send(HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]).serialize()):
                break
        client.alive()
        answers = {status for stream, status in client.statuses().items() if stream > 1}
        assert answers <= {"431"}
        client.close()


def test_empty_data_flood(mesh: Mesh, dial: Dial) -> None:
    """DATA frames without data are outside flow control (CVE-2019-9518)."""
    with unharmed(mesh):
        client = dial()
        client.send(client.headers(1, POST, end=False))
        frames = DataFrame(1, b"").serialize() * 1000
        for _ in range(100 * SCALE):
            if not client.send(frames):
                break
        if client.alive():
            client.send(DataFrame(1, b"end", flags=["END_STREAM"]).serialize())
            eventually("the body arrives", lambda: client.data(1) == b"end", PATIENCE)
        client.close()


@pytest.mark.parametrize("reads", [True, False])
def test_ping_flood(mesh: Mesh, dial: Dial, reads: bool) -> None:
    """PINGs, their answers read or not (CVE-2019-9512)."""
    with unharmed(mesh):
        client = dial(reads=reads)
        client.sock.settimeout(2)
        frames = PingFrame(opaque_data=b"12345678").serialize() * 1000
        for _ in range(100 * SCALE):
            if not client.send(frames):
                break
        client.close()


@pytest.mark.parametrize("reads", [True, False])
def test_settings_flood(mesh: Mesh, dial: Dial, reads: bool) -> None:
    """SETTINGS, each of which wants an answer (CVE-2019-9515)."""
    with unharmed(mesh):
        client = dial(reads=reads)
        client.sock.settimeout(2)
        frames = SettingsFrame(settings={WINDOW: 65_535}).serialize() * 1000
        for _ in range(100 * SCALE):
            if not client.send(frames):
                break
        client.close()


def test_zero_window(mesh: Mesh, dial: Dial) -> None:
    """Responses that nobody takes wait at their server, and cost the proxy a window at most (CVE-2019-9517)."""
    with unharmed(mesh):
        client = dial({WINDOW: 0})
        client.granted()
        body = DataFrame(1, b"x" * 16_000).serialize()[9:]
        for stream in range(1, 2 * 50, 2):
            client.send(client.headers(stream, POST, end=False))
            client.send(DataFrame(stream, body, flags=["END_STREAM"]).serialize())
        eventually("responses wait", lambda: len(client.statuses()) == 50, PATIENCE)
        assert all(client.data(stream) == b"" for stream in range(1, 2 * 50, 2))
        assert client.alive()
        client.close()


@pytest.mark.long
def test_unread_responses(seasoned: Mesh) -> None:
    """What nobody takes fills no memory: near WEFT_MAX_BUFFERED the oldest streams are reset, and others are served."""
    piece = b"x" * 16_000
    before, most = seasoned.client.memory(), 256 << 20
    bystander = Bystander(seasoned, 1 << 20)
    bystander.start()
    clients = [Http2(seasoned.client.namespace.connect((MESHED, HTTP2)), {WINDOW: 0}) for _ in range(3)]
    for client in clients:
        client.granted()
        for stream in range(1, 2 * 500, 2):
            body = b"".join(DataFrame(stream, piece).serialize() for _ in range(16))
            end = DataFrame(stream, b"", flags=["END_STREAM"]).serialize()
            assert client.send(client.headers(stream, POST, end=False) + body + end)
    eventually("some are reset", lambda: any(client.resets() for client in clients))
    told = lambda: [len(client.statuses().keys() | client.resets().keys()) for client in clients]  # noqa: E731
    eventually("all are answered or reset", lambda: told() == [500] * 3)
    assert seasoned.client.memory() < before + 1.2 * most
    assert all(client.alive() for client in clients)
    bystander.over.set()
    bystander.join()
    assert bystander.faults == []
    for client in clients:
        client.close()
