"""What hostile clients are made of: raw HTTP/2 frames, a bystander who must not suffer, and a proxy that recovers."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException, HTTPResponse

from hpack import Decoder, Encoder
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from mesh import HTTP1, HTTP2, MESHED, NODE, SERVER_POD, TOOLS, Mesh, eventually

SCALE = int(os.environ.get("WEFT_HOSTILE_SCALE", "1"))
"""How many times more of everything `make hostile` sends than `make test-proxy`."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = ((":method", "GET"), (":scheme", "http"), (":authority", "web.shop"), (":path", "/"))
POST = ((":method", "POST"), *GET[1:])
MAX_FRAME = 16_384
ENOUGH = 10
"""Answers that an honest client must have got at least, however quickly an attack was over."""
HPACK_200 = b"\x88"
"""`:status: 200` as HPACK has it."""
PATIENCE = 10.0
"""Seconds in which a proxy must have answered or refused, and after an attack be as it was."""


class Http2:
    """A connection whose frames are written by hand and whose answers are read in the background."""

    def __init__(self, sock: socket.socket, settings: dict[int, int] | None = None, reads: bool = True) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE)
        self.encoder = Encoder()
        self.frames: list[Frame] = []
        self.rest = b""
        self.closed = threading.Event()
        self.send(PREFACE + SettingsFrame(settings=settings or {}).serialize())
        self.reader = threading.Thread(target=self._read, daemon=True)
        if reads:
            self.reader.start()

    def send(self, data: bytes) -> bool:
        """False once the other side does not take it any more."""
        try:
            self.sock.sendall(data)
        except OSError:
            self.closed.set()
            return False
        return True

    def granted(self) -> None:
        """Waits for the windows that the other side gives beyond the protocol's own."""
        window = lambda: any(isinstance(frame, WindowUpdateFrame) for frame in list(self.frames))  # noqa: E731
        eventually("a window is given", window, PATIENCE)

    def headers(self, stream: int, fields: object = GET, end: bool = True) -> bytes:
        """A HEADERS frame, ready to send, and what it takes of CONTINUATION."""
        block = self.encoder.encode(fields, huffman=False)  # long ones take for ever with it
        pieces = [block[at : at + MAX_FRAME] for at in range(0, len(block), MAX_FRAME)]
        frames = [HeadersFrame(stream, pieces[0], flags=["END_STREAM"] if end else [])]
        frames += [ContinuationFrame(stream, piece) for piece in pieces[1:]]
        frames[-1].flags.add("END_HEADERS")
        return b"".join(frame.serialize() for frame in frames)

    def goaway(self) -> int | None:
        """The error code of the GOAWAY that came."""
        return next((frame.error_code for frame in self.frames if isinstance(frame, GoAwayFrame)), None)

    def resets(self) -> dict[int, int]:
        """Streams that the other side reset, with the error code."""
        return {frame.stream_id: frame.error_code for frame in self.frames if isinstance(frame, RstStreamFrame)}

    def statuses(self) -> dict[int, str]:
        """The status of each stream that was answered; 100 Continue and its like are no answers."""
        decoder, found = Decoder(), {}
        for frame in self.frames:
            if isinstance(frame, HeadersFrame):
                fields = dict(decoder.decode(frame.data))
                if not (status := fields.get(":status", "")).startswith("1"):
                    found.setdefault(frame.stream_id, status)
        return found

    def data(self, stream: int) -> bytes:
        """The body of a response so far."""
        frames = [frame for frame in self.frames if isinstance(frame, DataFrame)]
        return b"".join(frame.data for frame in frames if frame.stream_id == stream)

    def alive(self) -> bool:
        """Whether the other side still answers a PING."""
        token = os.urandom(8)
        if not self.send(PingFrame(opaque_data=token).serialize()):
            return False

        def answered() -> bool:
            pongs = [frame for frame in list(self.frames) if isinstance(frame, PingFrame) and "ACK" in frame.flags]
            return any(pong.opaque_data == token for pong in pongs)

        eventually("a PING is answered or the connection ends", lambda: self.closed.is_set() or answered(), PATIENCE)
        return answered()

    def ended(self, number: int) -> list[HeadersFrame]:
        """Their heads, once so many streams have ended: for who reads nothing in the background. No frame is kept."""
        while sum("END_STREAM" in frame.flags for frame in self.frames) < number:
            data = self.sock.recv(65536)
            assert data, f"the connection ended; GOAWAY: {self.goaway()}"
            self.rest = self._parse(self.rest + data)
        frames, self.frames = self.frames, []
        return [frame for frame in frames if isinstance(frame, HeadersFrame)]

    def close(self) -> None:
        """Hangs up; the reader ends first, or it would read the next connection that gets this descriptor."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        if self.reader.is_alive():
            self.reader.join()
        self.sock.close()

    def _read(self) -> None:
        buffer = b""
        with suppress(OSError, ValueError, HyperframeError):
            while data := self.sock.recv(65536):
                buffer = self._parse(buffer + data)
        self.closed.set()

    def _parse(self, buffer: bytes) -> bytes:
        while len(buffer) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(buffer[:9]))
            if len(buffer) < 9 + length:
                break
            frame.parse_body(memoryview(buffer[9 : 9 + length]))
            if len(self.frames) < 100_000:
                self.frames.append(frame)
            buffer = buffer[9 + length :]
        return buffer


def ask_http1(sock: socket.socket, names: Sequence[str]) -> int:
    """Sends requests for these hosts and paths; how many were answered with 200."""
    sock.sendall("".join(f"GET /{name} HTTP/1.1\r\nHost: {name}.shop\r\n\r\n" for name in names).encode())
    answers = b""
    while answers.count(b"all is well") < len(names) and (piece := sock.recv(65536)):
        answers += piece
    return answers.count(b"HTTP/1.1 200 OK")


def ask_http2(client: Http2, names: Sequence[str], first: int) -> int:
    """The same, on streams from `first`."""
    fields = ((*GET[:2], (":authority", f"{name}.shop"), (":path", f"/{name}")) for name in names)
    heads = b"".join(client.headers(first + 2 * n, asked) for n, asked in enumerate(fields))
    client.send(WindowUpdateFrame(0, window_increment=len(names) * len(b"all is well")).serialize() + heads)
    return sum(frame.data.startswith(HPACK_200) for frame in client.ended(len(names)))


def honest(mesh: Mesh) -> None:
    """Work of all kinds, as much of it at once as comes in the tests: what is kept for the next is there then."""
    subprocess.run(
        mesh.client.namespace.argv([str(TOOLS / "load"), f"-host={MESHED}", "-rate=1000", "-duration=10s"]),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    names = [f"g{n}" for n in range(200)]
    for namespace, host in ((mesh.client.namespace, MESHED), (mesh.client.namespace, NODE), (mesh.node, SERVER_POD)):
        with namespace.connect((host, HTTP1), PATIENCE) as sock:
            assert ask_http1(sock, names) == len(names)
        with namespace.connect((host, HTTP2), PATIENCE) as sock:
            assert ask_http2(Http2(sock, reads=False), names, 1) == len(names)


class Bystander(threading.Thread):
    """An honest client on both proxies, all the while: a request on an old connection and one on a new, in turn."""

    def __init__(self, mesh: Mesh, size: int = 2) -> None:
        """`size`: bytes of a body there and back."""
        super().__init__(daemon=True)
        self.mesh = mesh
        self.body = b"x" * size
        self.over = threading.Event()
        self.answers = 0
        self.slowest = 0.0
        self.faults: list[str] = []

    def run(self) -> None:
        try:
            self._run()
        except OSError as error:
            self.faults.append(f"no connection: {error}")

    def _run(self) -> None:
        connect = partial(self.mesh.client.namespace.connect, (MESHED, HTTP1), PATIENCE)
        with connect() as kept:
            while not self.over.wait(0.01) or self.answers < ENOUGH:
                self._ask(kept)
                with connect() as fresh:
                    self._ask(fresh)

    def _ask(self, sock: socket.socket) -> None:
        began = time.monotonic()
        try:
            head = f"POST /bystander HTTP/1.1\r\nHost: web.shop\r\nContent-Length: {len(self.body)}\r\n\r\n"
            sock.sendall(head.encode() + self.body)
            answer = _answer(sock)
        except (OSError, HTTPException) as error:
            answer = repr(error).encode()
        self.answers += 1
        self.slowest = max(self.slowest, time.monotonic() - began)
        if answer != self.body:
            self.faults.append(answer[:1000].decode(errors="replace"))


def _answer(sock: socket.socket) -> bytes:
    """The body of a response 200; of others what they say."""
    response = HTTPResponse(sock)
    response.begin()
    body = response.read()
    return body if response.status == 200 else f"{response.status} {response.headers}".encode()


@contextmanager
def unharmed(mesh: Mesh) -> Iterator[None]:
    """Whatever is done inside: another client is served, and afterwards both proxies are as small as they were."""
    bystander = Bystander(mesh)
    bystander.start()
    try:
        yield
    finally:
        bystander.over.set()
        bystander.join()
    assert bystander.faults == []
    assert bystander.slowest < PATIENCE / 2
    recovered(mesh)


def recovered(mesh: Mesh) -> None:
    """Whatever came since honest work, both proxies hold at most a tenth more memory, in use and resident."""
    for pod in (mesh.client, mesh.server):
        descriptors, *honest = pod.honest
        eventually(
            f"descriptors back at {descriptors}", lambda p=pod, d=descriptors: p.descriptors() <= d + 2, PATIENCE
        )
        try:
            eventually(
                "memory is back",
                lambda p=pod, h=honest: all(0 < now <= 1.1 * then for now, then in zip(p.held(), h, strict=True)),
                PATIENCE,
            )
        except AssertionError:
            raise AssertionError(f"in use and resident: {honest} before, {pod.held()} after") from None
