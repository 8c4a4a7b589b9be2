"""A server of a test's own: a thread for each connection."""

import socket
import threading
from contextlib import suppress
from typing import Self

from netns import Namespace


class Listener:
    """Listens on a port of a namespace while the block runs; subclasses say what `serve` does with a connection."""

    def __init__(self, namespace: Namespace, port: int) -> None:
        self._listener = namespace.listen(port)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._serving: list[tuple[socket.socket, threading.Thread]] = []

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends what is open too: a proxy that keeps a connection would reach this server in the place of the next."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for sock, thread in self._serving:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._serving.append((sock, thread))
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(ConnectionError):
            self.serve(sock)

    def serve(self, sock: socket.socket) -> None:
        """One connection, from beginning to end; it is closed afterwards."""
        raise NotImplementedError
