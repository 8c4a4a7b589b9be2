"""The API server's port-forward to a pod: a local socket, and a thread that carries its bytes in a WebSocket."""

import os
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator

HEADERS = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "d2VmdCBhc2tzIGEgcG9kLg==",
    "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
}
"""The key proves that a WebSocket was meant; TLS proves the server."""

DATA = 0
"""The channel of the port's bytes; channel 1 says what is the matter, just before the end."""

PORT_BYTES = 2
"""A channel begins with the number of its port."""

CONTINUATION, BINARY, CLOSE, PING, PONG = 0, 2, 8, 9, 10
FINAL = MASKED = 0x80
SHORT, MIDDLE, LONG = 125, 126, 127
CHUNK = 65536


def carried(remote: socket.socket, early: bytes) -> socket.socket:
    """A socket whose bytes a WebSocket carries; `early` of what that says has been read already."""
    local, inner = socket.socketpair()
    threading.Thread(target=_carry, args=(inner, remote, early), daemon=True).start()
    return local


def frame(opcode: int, payload: bytes) -> bytes:
    """One frame of a client (RFC 6455, 5.2), masked as it has to be."""
    size = len(payload)
    if size <= SHORT:
        head = struct.pack("!BB", FINAL | opcode, MASKED | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", FINAL | opcode, MASKED | MIDDLE, size)
    else:
        head = struct.pack("!BBQ", FINAL | opcode, MASKED | LONG, size)
    mask = os.urandom(4)
    pattern = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload) ^ int.from_bytes(pattern)).to_bytes(size)


class Frames:
    """Frames of a server, from bytes as they come in."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Opcode and payload of each frame that is whole by now."""
        self._rest += data
        while (place := self._first()) and len(self._rest) >= place[1]:
            start, end = place
            opcode, payload = self._rest[0] & 0x0F, self._rest[start:end]
            self._rest = self._rest[end:]
            yield opcode, payload

    def _first(self) -> tuple[int, int] | None:
        """Where the first frame's payload begins and ends; None while that is not known."""
        if len(self._rest) < 2:
            return None
        size = self._rest[1]
        start = {MIDDLE: 4, LONG: 10}.get(size, 2)
        if len(self._rest) < start:
            return None
        return start, start + (int.from_bytes(self._rest[2:start]) if start > 2 else size)


class Port:
    """The bytes of the forwarded port, out of frames."""

    def __init__(self) -> None:
        self._channel = DATA
        self._number_left = PORT_BYTES

    def data(self, opcode: int, payload: bytes) -> bytes:
        """What of a frame came from the port."""
        if opcode == BINARY:
            self._channel, payload = payload[0], payload[1:]
        if self._channel != DATA:
            return b""
        number = payload[: self._number_left]
        self._number_left -= len(number)
        return payload[len(number) :]


def _carry(inner: socket.socket, remote: socket.socket, early: bytes) -> None:
    """Both directions in one thread: two must not share a TLS connection."""
    frames, port = Frames(), Port()
    with inner, remote:
        try:
            goes_on = _deliver(early, frames, port, inner, remote)
            while goes_on:
                ready = _ready(inner, remote)
                if remote in ready:
                    goes_on = _from_pod(frames, port, inner, remote)
                if inner in ready:
                    goes_on = _to_pod(inner, remote) and goes_on
        except OSError:
            pass  # one end is gone, so the other goes, too


def _ready(inner: socket.socket, remote: socket.socket) -> list[socket.socket]:
    if isinstance(remote, ssl.SSLSocket) and remote.pending():
        return [remote]
    return select.select([inner, remote], [], [])[0]


def _from_pod(frames: Frames, port: Port, inner: socket.socket, remote: socket.socket) -> bool:
    remote.setblocking(False)  # TLS may have read what is for itself only
    try:
        data = remote.recv(CHUNK)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    finally:
        remote.setblocking(True)
    return bool(data) and _deliver(data, frames, port, inner, remote)


def _deliver(data: bytes, frames: Frames, port: Port, inner: socket.socket, remote: socket.socket) -> bool:
    for opcode, payload in frames.feed(data):
        if opcode == CLOSE:
            return False
        if opcode == PING:
            remote.sendall(frame(PONG, payload))
        elif opcode in (BINARY, CONTINUATION):
            inner.sendall(port.data(opcode, payload))
    return True


def _to_pod(inner: socket.socket, remote: socket.socket) -> bool:
    data = inner.recv(CHUNK)
    remote.sendall(frame(BINARY, bytes([DATA]) + data) if data else frame(CLOSE, b""))
    return bool(data)
