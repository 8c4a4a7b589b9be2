"""Two pods with real proxies and real redirection, a control plane, and the applications of `go/app`.

A client in `client` dials MESHED:port and is led, by mesh TLS, to that port of the server's pod; UNMESHED:port leads
to the node in plain text; from `node` it dials SERVER_POD:port and stands before the server's proxy without its own.
"""

import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from cryptography.hazmat.primitives.serialization import Encoding
from netns import Namespace, wire
from plane import MESHED, NODE, SERVER_POD, UNMESHED, spiffe
from weft_pki.issue import Authority, new_anchor, new_issuer, workload_leaf
from weft_pki.keys import key_pem, new_key

__all__ = ["MESHED", "NODE", "SERVER_POD", "UNMESHED", "Mesh", "Pod", "eventually", "listens"]

ROOT = Path(__file__).parents[2]
PROXY = Path(os.environ.get("WEFT_PROXY_BIN", ROOT / "proxy/target/debug"))
"""Folder of weft-proxy and weft-proxy-init."""
CACHE = Path(os.environ.get("WEFT_CACHE", Path.home() / ".cache/weft"))
TOOLS = Path(os.environ.get("WEFT_PROXY_TOOLS", CACHE / "proxy-tools"))
"""Folder of what `make proxy-tools` built."""
PROXY_UID = 2102
SOON = 60.0
"""Seconds within which anything local must have happened."""

HTTP1, HTTP2, HTTPS, ECHO, GREETER, GRPC = 8080, 8081, 8443, 9000, 7777, 10000


def eventually(what: str, true: Callable[[], bool], within: float = SOON) -> None:
    """Waits until `true()`; AssertionError names `what`."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"not within {within:.0f} s: {what}"
        time.sleep(0.02)


class Pod:
    """A proxy and the namespace it runs in."""

    def __init__(self, namespace: Namespace, process: subprocess.Popen[bytes], log: Path) -> None:
        self.namespace = namespace
        self.process = process
        self.log = log
        self.honest = (0, 0, 0)
        """Descriptors, bytes in use and bytes resident after honest work: no attack may leave more."""

    def get(self, path: str) -> str:
        """The answer of the proxy's admin port, head and body; empty when it does not answer."""
        try:
            with self.namespace.connect(("127.0.0.1", 4191)) as sock:
                sock.sendall(f"GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
                return b"".join(iter(lambda: sock.recv(65536), b"")).decode()
        except OSError:
            return ""

    def metric(self, name: str, *labels: str) -> float:
        """The sum of the series of `name` that have all of `labels` ('direction="inbound"')."""
        series = [line for line in self.get("/metrics").splitlines() if re.match(rf"{name}[{{ ]", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in series if all(label in line for label in labels))

    def memory(self) -> int:
        """Resident bytes of its own; the program's code, read as it is needed, apart."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"RssAnon:\s+(\d+) kB", status)[0]) * 1024

    def held(self) -> tuple[int, int]:
        """Bytes of memory in use, by its allocator's account, and resident ones."""
        return int(self.metric("weft_memory_allocated_bytes")), int(self.metric("process_resident_memory_bytes"))

    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def panics(self) -> int:
        """Panics in the log."""
        return self.log.read_text(errors="replace").count("panicked at")


class Mesh:
    """Everything; use as a context manager."""

    node: Namespace
    client: Pod
    server: Pod
    gateway: Pod

    def __init__(self, log: str = "info,h2=warn,hyper=warn") -> None:
        self.log = log
        self.stack = ExitStack()
        self.runs = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def _start(self) -> None:
        self.folder = Path(self.stack.enter_context(TemporaryDirectory(prefix="weft-mesh-")))
        self.folder.chmod(0o755)  # the proxies are no root and read their token and bundle here
        self.authority = self._certificates()
        self.peer_tls = self._peer_tls()
        self.node, client, server = (self._namespace(role) for role in ("n", "c", "s"))
        subprocess.run(self.node.argv(["sysctl", "-qw", "net.ipv4.ip_forward=1"]), check=True)
        wire(self.node, client, 1)
        wire(self.node, server, 2)
        plane = Path(__file__).with_name("plane.py")
        self.run(self.node, [sys.executable, str(plane), "127.0.0.1:18081", str(self.folder)])
        listens(self.node, 18081)
        control = {"WEFT_MODE": "gateway", "WEFT_FORWARD": "18080=127.0.0.1:18081,18086=127.0.0.1:18081"}
        control |= {"WEFT_FORWARD_ANONYMOUS": "18080", "WEFT_IDENTITY_ADDR": "plain:127.0.0.1:18081"}
        self.gateway = self._pod(self.node, "weft", "control", NODE, control)
        for namespace in (client, server):
            subprocess.run(namespace.argv([str(PROXY / "weft-proxy-init")]), check=True, stderr=subprocess.DEVNULL)
        self.client = self._pod(client, "shop", "caller", "10.77.1.2")
        self.server = self._pod(server, "shop", "web", SERVER_POD)
        for namespace in (server, self.node):
            self.run(namespace, [str(TOOLS / "app")])
            listens(namespace, GREETER)

    @contextmanager
    def guest(self, account: str, number: int, clock: int) -> Iterator[Pod]:
        """A further client, for a while, whose wall clock is so many seconds ahead."""
        namespace = self._namespace(account)
        wire(self.node, namespace, number)
        subprocess.run(namespace.argv([str(PROXY / "weft-proxy-init")]), check=True, stderr=subprocess.DEVNULL)
        source, library = Path(__file__).with_name("clock.c"), str(self.folder / "clock.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, str(source)], check=True)
        preload = {"LD_PRELOAD": library, "CLOCK_OFFSET": str(clock)}
        pod = self._pod(namespace, "shop", account, f"10.77.{number}.2", preload)
        yield pod
        pod.process.kill()

    def _namespace(self, role: str) -> Namespace:
        namespace = Namespace(f"weft-{os.getpid()}-{role}")
        self.stack.callback(namespace.close)
        return namespace

    def peer(self, port: int) -> ssl.SSLSocket:
        """A connection of a meshed peer, shop/caller, to a port of the server's pod."""
        return self.peer_tls.wrap_socket(self.node.connect((SERVER_POD, port)), server_hostname="weft.internal")

    def _peer_tls(self) -> ssl.SSLContext:
        """Mesh TLS with a certificate of its own."""
        key = new_key()
        leaf = workload_leaf(
            self.authority, key.public_key(), spiffe("shop", "caller"), datetime.now(UTC), timedelta(1)
        )
        pem = self.folder / "peer.pem"
        pem.write_bytes(key_pem(key) + b"".join(c.public_bytes(Encoding.PEM) for c in (leaf, *self.authority.chain)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # a SPIFFE ID is verified, no host name
        context.load_verify_locations(self.folder / "ca.crt")
        context.load_cert_chain(pem)
        context.set_alpn_protocols(["weft-h2"])
        return context

    def _certificates(self) -> Authority:
        now = datetime.now(UTC)
        anchor = new_anchor(now)
        issuer = new_issuer(anchor, now)
        (self.folder / "ca.crt").write_bytes(anchor.certificate.public_bytes(Encoding.PEM))
        (self.folder / "issuer.crt").write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
        (self.folder / "issuer.key").write_bytes(key_pem(issuer.key))
        return issuer

    def run(
        self, namespace: Namespace, argv: list[str], env: dict[str, str] | None = None, uid: int | None = None
    ) -> tuple[subprocess.Popen[bytes], Path]:
        """Starts a process that ends with the mesh; returns it and its log."""
        self.runs += 1
        log = self.folder / f"{self.runs}-{Path(argv[0]).name}.log"
        process = namespace.spawn(argv, log, env, uid)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process, log

    def _pod(
        self, namespace: Namespace, own: str, account: str, address: str, extra: dict[str, str] | None = None
    ) -> Pod:
        token = self.folder / f"token-{account}"
        token.write_text(f"{own}/{account}")
        settings = {
            "WEFT_LOG": self.log,
            "WEFT_LOG_FORMAT": "plain",
            "WEFT_IDENTITY_ADDR": f"{NODE}:18080",
            "WEFT_IDENTITY_ID": spiffe("weft", "control"),
            "WEFT_DESTINATION_ADDR": f"{NODE}:18086",
            "WEFT_DESTINATION_ID": spiffe("weft", "control"),
            "WEFT_TOKEN_FILE": str(token),
            "WEFT_TRUST_BUNDLE": str(self.folder / "ca.crt"),
            "WEFT_POD_NAME": f"{account}-1",
            "WEFT_POD_NAMESPACE": own,
            "WEFT_POD_IPS": address,
            "WEFT_SERVICE_ACCOUNT": account,
            "WEFT_WORKLOAD": f"deployment/{account}",
            "WEFT_CLUSTER_NETWORKS": "10.77.0.0/16,10.78.0.0/16",
            **(extra or {}),
        }
        process, log = self.run(namespace, [str(PROXY / "weft-proxy")], settings, PROXY_UID)
        pod = Pod(namespace, process, log)
        eventually(f"ready: {account}", lambda: pod.get("/ready").startswith("HTTP/1.1 200"))
        return pod


def listens(namespace: Namespace, port: int) -> None:
    """Waits until something listens on the port of a namespace's loopback."""

    def connects() -> bool:
        try:
            namespace.connect(("127.0.0.1", port)).close()
        except OSError:
            return False
        return True

    eventually(f"port {port} of {namespace.name} listens", connects)
