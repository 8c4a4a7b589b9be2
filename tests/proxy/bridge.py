"""A listener on the node that carries every connection by mesh TLS to the server's pod, as a peer's proxy would."""

import socket
import threading
from contextlib import suppress

from mesh import Mesh


class Bridge:
    """Use as a context manager; clients on the node connect to 127.0.0.1:`port`."""

    def __init__(self, mesh: Mesh, port: int, to: int) -> None:
        self.mesh = mesh
        self.port = port
        self.to = to
        self.listener = mesh.node.listen(port)

    def __enter__(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = self.mesh.peer(self.to)
                far.settimeout(None)
                threading.Thread(target=_join, args=(near, far), daemon=True).start()


def _join(near: socket.socket, far: socket.socket) -> None:
    """Until one side ends; then both do, as HTTP/2 knows no half-closed connections."""
    with near, far:
        back = threading.Thread(target=_carry, args=(far, near), daemon=True)
        back.start()
        _carry(near, far)
        back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for sock in (source, sink):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
