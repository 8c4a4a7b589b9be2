"""Network namespaces: two pods and the node between them, all traffic of the pods passing the node."""

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

Address = tuple[str, int]

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A namespace with its loopback up; `close` removes it."""

    def __init__(self, name: str) -> None:
        self.name = name
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")

    def close(self) -> None:
        """Removes the namespace; what still runs in it keeps it alive."""
        ip("netns", "del", self.name)

    def argv(self, argv: Sequence[str], uid: int | None = None) -> list[str]:
        """The command line that runs `argv` inside, as another user if `uid` is given."""
        become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
        return ["ip", "netns", "exec", self.name, *become, *argv]

    def spawn(
        self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, uid: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a process inside; its pid is the program's own."""
        with log.open("wb") as out:
            return subprocess.Popen(self.argv(argv, uid), env=env, stdout=out, stderr=out)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is inside; sockets made here stay inside wherever they are used."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _setns(there)
            yield
        finally:
            _setns(home)
            os.close(home)
            os.close(there)

    def connect(self, address: Address, timeout: float = 5) -> socket.socket:
        """A TCP connection from inside."""
        with self.entered():
            sock = socket.socket()
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return sock

    def listen(self, port: int) -> socket.socket:
        """A listener on all addresses."""
        with self.entered():
            sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port))
        sock.listen(128)
        return sock


def _setns(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def ip(*arguments: str) -> None:
    """Runs ip(8)."""
    subprocess.run(["ip", *arguments], check=True)


def wire(node: Namespace, pod: Namespace, number: int) -> None:
    """A pair of interfaces: 10.77.N.1 on the node, 10.77.N.2 and the default route in the pod."""
    outside = f"p{number}"
    ip("-n", node.name, "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", pod.name)
    for namespace, interface, last in ((node, outside, 1), (pod, "eth0", 2)):
        ip("-n", namespace.name, "addr", "add", f"10.77.{number}.{last}/24", "dev", interface)
        ip("-n", namespace.name, "link", "set", interface, "up")
    ip("-n", pod.name, "route", "add", "default", "via", f"10.77.{number}.1")
