"""Requests that two readers could frame differently: the proxy refuses them, or passes on what only one reading has."""

import contextlib
import re
from collections.abc import Iterator

import pytest
from hostile import PATIENCE, POST, Http2
from hyperframe.frame import DataFrame
from mesh import MESHED, SERVER_POD, UNMESHED, Mesh, eventually
from netns import Namespace
from recorder import Recorder

PORT = 8090
QUIET = 0.3
"""Seconds without another byte after which an answer is taken to be whole."""
HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: web.shop\r\n\r\n"
CHUNKED = b"0\r\n\r\n" + HIDDEN

Case = tuple[bytes, bytes]


def _cases() -> dict[str, Case]:
    """By name: the headers beside `Host`, each with its end of line, and what follows the head."""
    length = f"Content-Length: {len(CHUNKED)}\r\n".encode()
    te = b"Transfer-Encoding: chunked\r\n"
    both = {
        "length, chunked": length + te,
        "chunked, length": te + length,
        "lower case": te.lower() + length.lower(),
    }
    obscured = {
        f"te {value!r}": length + b"Transfer-Encoding:" + value + b"\r\n"
        for value in (
            *(b" xchunked", b" chunked, identity", b" identity, chunked", b" chunked, chunked", b"\x0bchunked"),
            *(
                b" chunked;q=0.5",
                b" chunked\x00",
                b' "chunked"',
                b"\tchunked",
                b" chunked ",
                b" CHUNKED",
                b" gzip, chunked",
            ),
            *(b"\r\n chunked", b" chunk\r\n ed", b"\n chunked", b" chunked\r\nTransfer-Encoding: identity"),
        )
    }
    names = {
        f"name {name!r}": length + name + b" chunked\r\n"
        for name in (b"Transfer-Encoding :", b" Transfer-Encoding:", b"Transfer_Encoding:", b"Transfer-Encoding\x00:")
    } | {
        "bare CR": length + b"X: y\rTransfer-Encoding: chunked\r\n",
        "bare LF": length + b"X: y\nTransfer-Encoding: chunked\r\n",
    }
    lengths = {
        f"length {value!r}": b"Content-Length:" + value + b"\r\n"
        for value in (
            *(
                b" 0\r\nContent-Length: 5",
                b" 5\r\nContent-Length: 0",
                b" 0, 5",
                b" +5",
                b" -1",
                b" 0x5",
                b" 5 5",
                b" 5_0",
            ),
            *(b" 99999999999999999999", b" 5\x0b", b" five", b"", b" \xb2", b" 5;", b" 5\r\nContent-Length : 0"),
        )
    }
    named = {"named in Connection": b"Connection: close, content-length, host\r\n" + length}
    heads = both | obscured | names | lengths | named
    return {name: (head, CHUNKED) for name, head in heads.items()} | _chunk_cases() | _host_cases()


def _chunk_cases() -> dict[str, Case]:
    """Chunks that are counted, or ended, in more ways than one."""
    te = b"Transfer-Encoding: chunked\r\n"
    bodies = (
        *(
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
        ),
        *(b"5 \r\nhello\r\n0\r\n\r\n", b"5;a=\nb\r\nhello\r\n0\r\n\r\n", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
        *(
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"5\rX\nhello\r\n0\r\n\r\n",
            b"5;\r\nhello\r\n0\r\n\r\n",
        ),
        *(b"0\r\nContent-Length: 5\r\n\r\n", b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\nHost: other\r\n\r\n"),
    )
    return {f"chunks {body!r}": (te, body) for body in bodies}


def _host_cases() -> dict[str, Case]:
    """One request for two hosts."""
    return {
        "two hosts": (b"Host: other.shop\r\n", b""),
        "a host in two lines": (b"X-Y: z\r\n Host: other\r\n", b""),
    }


CASES = _cases()


def _http2_cases() -> Iterator[tuple[str, tuple[tuple[str, str], ...], bytes]]:
    version = ("weft-orig-version", "HTTP/1.1")
    hidden = HIDDEN.decode()
    extra = (
        *(("transfer-encoding", "chunked"), ("connection", "content-length"), ("content-length", "5")),
        *(("content-length", "0"), ("x", f"y\r\n\r\n{hidden}"), ("x", "y\nTransfer-Encoding: chunked"), ("x", "y\0z")),
        *(
            ("x\r\ntransfer-encoding", "chunked"),
            ("x y", "z"),
            ("x:", "z"),
            ("Transfer-Encoding", "chunked"),
            ("", "z"),
        ),
        *(("upgrade", "websocket"), ("te", "chunked"), ("host", "other.shop"), ("weft-orig-version", "HTTP/1.0")),
        ("expect", "100-continue"),
    )
    for field in extra:
        yield f"{field}", (*POST, version, field), CHUNKED
    for name, bad in (
        *((":path", f"/ HTTP/1.1\r\nHost: a\r\n\r\n{hidden}"), (":path", "/ x"), (":path", ""), (":path", "x")),
        *((":method", f"GET / HTTP/1.1\r\n\r\n{hidden}"), (":method", "GET /smuggled"), (":method", "CONNECT")),
        *((":authority", "a\r\nTransfer-Encoding: chunked"), (":authority", "a b"), (":authority", "")),
        (":scheme", "http\r\nX: y"),
    ):
        yield f"{name} {bad!r}", (*((k, bad if k == name else v) for k, v in POST), version), CHUNKED
    absolute = ("weft-orig-version", "HTTP/1.1; absolute")
    yield "absolute", (*POST, absolute), CHUNKED
    yield "two versions", (*POST, version, ("weft-orig-version", "HTTP/1.1\t")), CHUNKED


HTTP2_CASES = list(_http2_cases())


@pytest.fixture(params=["mesh", "plain", "inbound"])
def way(request: pytest.FixtureRequest, mesh: Mesh) -> Iterator[tuple[Namespace, str, Recorder]]:
    """HTTP/1 through both proxies, out of one and into one: from where, whither, and who is there."""
    sides = {
        "mesh": (mesh.client.namespace, MESHED, mesh.server.namespace),
        "plain": (mesh.client.namespace, UNMESHED, mesh.node),
        "inbound": (mesh.node, SERVER_POD, mesh.server.namespace),
    }
    source, host, target = sides[request.param]
    with Recorder(target, PORT) as recorder:
        yield source, host, recorder


def exchange(namespace: Namespace, host: str, data: bytes) -> list[bytes]:
    """The statuses that come back, until the connection ends or nothing more is said."""
    answer = b""
    with namespace.connect((host, PORT), PATIENCE) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(data)
        try:
            while piece := sock.recv(65536):
                answer += piece
                sock.settimeout(QUIET)
        except TimeoutError:
            if not answer:
                raise
    return re.findall(rb"HTTP/1\.1 (\d+)", answer)


def test_one_reading(way: tuple[Namespace, str, Recorder]) -> None:
    """Every variant of TE, CL, CR and LF: the application sees as many requests as the proxy answered, each framed in
    one way, or none because the proxy refused it or closed the connection."""
    namespace, host, recorder = way
    wrong = {}
    for name, (head, body) in CASES.items():
        recorder.messages.clear()
        recorder.faults.clear()
        statuses = exchange(namespace, host, b"POST / HTTP/1.1\r\nHost: web.shop\r\n" + head + b"\r\n" + body)
        seen = [message.target for message in recorder.messages]
        passed = statuses[: len(seen)] == [b"200"] * len(seen)
        refused = statuses[len(seen) :] in ([], [b"400"], [b"431"])
        if recorder.faults or not (passed and refused):
            wrong[name] = (statuses, seen, list(recorder.faults))
    assert wrong == {}


def test_http2_to_http1(mesh: Mesh) -> None:
    """What HTTP/2 lets a peer write does not end a line, a head or a body of the HTTP/1 that the application gets."""
    wrong = {}
    with Recorder(mesh.server.namespace, PORT) as recorder:
        for name, fields, body in HTTP2_CASES:
            recorder.messages.clear()
            recorder.faults.clear()
            client = Http2(mesh.peer(PORT))
            client.encoder.header_table_size = 0
            client.send(client.headers(1, fields, end=False))
            client.send(DataFrame(1, body, flags=["END_STREAM"]).serialize())
            eventually("an answer", lambda c=client: c.statuses() or c.resets() or c.closed.is_set(), PATIENCE)
            seen = [(message.target.removeprefix("http://web.shop"), message.body) for message in recorder.messages]
            # A head may be there before its body proves it wrong; the stream is reset then, but a head that announced
            # no body may have been answered already.
            answered = client.statuses().get(1) == "200" and ("content-length", "0") not in fields
            right = [[("/", body)]] if answered else [[], [("/", b"")]]
            if recorder.faults or seen not in right:
                wrong[name] = (client.statuses(), client.resets(), client.goaway(), seen, list(recorder.faults))
            client.close()
    assert wrong == {}
