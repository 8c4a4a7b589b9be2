"""More than a proxy should take, or slower than it should wait: refused with the right status, or let go."""

import contextlib
import socket
import time

import pytest
from hostile import GET, PATIENCE, SCALE, Http2, ask_http1, ask_http2, unharmed
from mesh import ECHO, HTTP1, HTTP2, MESHED, NODE, SERVER_POD, Mesh, Pod, eventually
from netns import Namespace

HEADER_TIMEOUT = 10
"""Seconds that the proxy gives a client for the head of a request."""
OUTSIDE = 201
"""Hosts and addresses outside the mesh that the metrics keep apart, and `other`."""


@pytest.fixture(params=["outbound", "inbound"])
def way(request: pytest.FixtureRequest, seasoned: Mesh) -> tuple[Namespace, str]:
    """From where, and to which address: each of the two ways in that speak plain HTTP."""
    if request.param == "outbound":
        return seasoned.client.namespace, MESHED
    return seasoned.node, SERVER_POD


def status(sock: socket.socket) -> bytes:
    """Of the answer; empty when there is none before the connection ends."""
    with contextlib.suppress(ConnectionError):
        return sock.recv(4096)[9:12]
    return b""


@pytest.mark.parametrize("fields", [b"x: y\r\n" * 10_000, b"x: " + b"y" * (1 << 20) + b"\r\n"], ids=["10000", "1 MB"])
def test_headers_http1(seasoned: Mesh, way: tuple[Namespace, str], fields: bytes) -> None:
    """Too many headers, and too long ones: 431."""
    namespace, host = way
    with unharmed(seasoned):
        for _ in range(5 * SCALE):
            with namespace.connect((host, HTTP1), PATIENCE) as sock:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: web.shop\r\n" + fields + b"\r\n")
                assert status(sock) in (b"431", b"")


def test_headers_http2(seasoned: Mesh, way: tuple[Namespace, str]) -> None:
    """The same by HTTP/2: that stream is refused, or the connection when even reading it costs too much."""
    namespace, host = way
    with unharmed(seasoned):
        client = Http2(namespace.connect((host, HTTP2)))
        client.send(client.headers(1, (*GET, ("x", "y" * 60_000))))
        client.send(client.headers(3, (*GET, *((f"x-{n}", "y") for n in range(2000)))))
        eventually("both are answered", lambda: {1, 3} <= client.statuses().keys(), PATIENCE)
        assert client.statuses() == {1: "200", 3: "431"}
        client.close()
        for fields in ([("x", "\x7f" * (1 << 20))], [(f"x-{n}", "y") for n in range(10_000)]):
            client = Http2(namespace.connect((host, HTTP2)))
            client.send(client.headers(1, (*GET, *fields)))
            eventually("refused", lambda c=client: c.closed.is_set() or c.resets() or c.statuses(), PATIENCE)
            assert client.statuses() in ({}, {1: "431"})
            client.close()


@pytest.mark.parametrize("protocol", ["http1", "http2"])
@pytest.mark.parametrize("to", ["outbound", "inbound", "outside"])
def test_distinct_hosts_and_paths(seasoned: Mesh, to: str, protocol: str) -> None:
    """Every request for another host and path: neither memory nor series grow with them, but by OUTSIDE hosts."""
    pods = (seasoned.client, seasoned.server)
    namespace = seasoned.node if to == "inbound" else seasoned.client.namespace
    host = {"outbound": MESHED, "inbound": SERVER_POD, "outside": NODE}[to]
    total, batch = (2000 if SCALE == 1 else 1_000_000), 100
    with unharmed(seasoned):
        before = [series(pod) for pod in pods]
        with namespace.connect((host, HTTP1 if protocol == "http1" else HTTP2), PATIENCE) as sock:
            client = Http2(sock, reads=False) if protocol == "http2" else None
            for first in range(0, total, batch):
                names = [f"h{n}" for n in range(first, first + batch)]
                answered = ask_http2(client, names, 2 * first + 1) if client else ask_http1(sock, names)
                assert answered == batch
        after = [series(pod) for pod in pods]
        # The bystander and this client are one peer and one route each; some results may be new.
        assert all(now - then < 60 for (now, _), (then, _) in zip(after, before, strict=True))
        assert all(outside <= OUTSIDE for _, outside in after)
        assert to != "outside" or after[0][1] == OUTSIDE


def series(pod: Pod) -> tuple[int, int]:
    """All but those of what leaves the mesh, and those."""
    lines = pod.get("/metrics").splitlines()
    outside = sum(line.startswith("weft_egress_total{") for line in lines)
    return len(lines) - outside, outside


@pytest.mark.parametrize("first", [b"", b"G", b"PRI * HTTP/2.0\r\n", b"\x16\x03\x01\x02\x00"])
def test_half_open(seasoned: Mesh, way: tuple[Namespace, str], first: bytes) -> None:
    """Connections that say nothing, or not enough, cost little, and end with their client."""
    namespace, host = way
    with unharmed(seasoned), contextlib.ExitStack() as stack:
        for _ in range(100 * SCALE):
            sock = stack.enter_context(namespace.connect((host, ECHO)))
            sock.sendall(first)


@pytest.mark.long
def test_slowloris(seasoned: Mesh, way: tuple[Namespace, str]) -> None:
    """Heads that come a byte at a time are given up on."""
    namespace, host = way
    with unharmed(seasoned), contextlib.ExitStack() as stack:
        socks = [stack.enter_context(namespace.connect((host, HTTP1))) for _ in range(50)]
        for sock in socks:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: web.shop\r\n")
        end = time.monotonic() + 2 * HEADER_TIMEOUT
        while socks and time.monotonic() < end:
            time.sleep(1)
            socks = [sock for sock in socks if _takes(sock)]
        assert socks == []


def _takes(sock: socket.socket) -> bool:
    """Whether one more byte is taken."""
    sock.setblocking(False)
    try:
        if sock.recv(4096) == b"":
            return False
    except BlockingIOError:
        pass
    except OSError:
        return False
    with contextlib.suppress(OSError):
        sock.send(b"x")
    return True
