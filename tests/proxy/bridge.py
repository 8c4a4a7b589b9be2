"""A listener on the node that carries every connection by mesh TLS to the server's pod, as a peer's proxy would."""

import socket
import threading
from contextlib import suppress

from listener import Listener
from mesh import Mesh


class Bridge(Listener):
    """Use as a context manager; clients on the node connect to 127.0.0.1:`port`."""

    def __init__(self, mesh: Mesh, port: int, to: int) -> None:
        super().__init__(mesh.node, port)
        self.mesh = mesh
        self.port = port
        self.to = to

    def serve(self, sock: socket.socket) -> None:
        """Joins it with one to the server's pod until a side ends; then both do, as HTTP/2 has no half-closed."""
        with self.mesh.peer(self.to) as far:
            far.settimeout(None)
            back = threading.Thread(target=_carry, args=(far, sock), daemon=True)
            back.start()
            _carry(sock, far)
            back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for sock in (source, sink):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
