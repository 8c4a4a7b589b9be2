"""HTTP to the API server: TLS as the kubeconfig wants it, through a proxy where there is one, connections kept."""

import http.client
import re
import select
import socket
import ssl
import tempfile
import weakref
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import cast
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from weft.credentials import Credentials, Proof, pem
from weft.errors import Failure
from weft.kubeconfig import Access, Object

CONNECT_SECONDS = 5.0
LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|::1)$")


class Connection(http.client.HTTPConnection):
    """One connection to the API server, by TLS if there is a context for it."""

    def __init__(self, host: str, port: int, shown: Proof, tls: ssl.SSLContext | None, name: str) -> None:
        super().__init__(host, port, timeout=CONNECT_SECONDS)
        self.shown = shown
        self._tls, self._name = tls, name

    def connect(self) -> None:
        """TCP, the proxy's CONNECT, TLS."""
        super().connect()
        if self._tls:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)

    def answer(self, seconds: float | None) -> http.client.HTTPResponse:
        """The response, each part of which has to come within `seconds`."""
        self.sock.settimeout(seconds)
        return self.getresponse()

    def taken(self, response: http.client.HTTPResponse) -> tuple[socket.socket, bytes]:
        """The socket, for another protocol, and what of that has been read after the response."""
        taken, self.sock = self.sock, None
        taken.setblocking(False)
        try:
            early = response.fp.peek()
        except ssl.SSLWantReadError:
            early = b""
        response.close()
        taken.setblocking(True)
        return taken, early

    def is_kept(self) -> bool:
        """Whether another request may go over it: the server has not ended it."""
        return self.sock is not None and not select.select([self.sock], [], [], 0)[0]


class Transport:
    """Connections to the cluster of a context, as its user; safe for several threads."""

    def __init__(self, access: Access) -> None:
        self._cluster = access.cluster
        self._server = _server(str(access.cluster.get("server", "")))
        self.host = self._server.geturl().rstrip("/")
        self._credentials = Credentials(access.user, access.cluster)
        self._tls: tuple[Proof, ssl.SSLContext] | None = None
        self._kept: deque[Connection] = deque()
        weakref.finalize(self, _close, self._kept)

    def send(self, method: str, path: str, headers: Mapping[str, str], body: str | None = None) -> Connection:
        """The connection over which a request went; the caller takes its answer, and closes or keeps it."""
        proof = self._credentials.proof()
        connection = self._connection(proof)
        try:
            everything = http.client.HTTPMessage()
            for name, value in (*self._credentials.headers(proof.token), *headers.items()):
                everything[name] = value  # beside others of that name
            sent = cast("Mapping[str, str]", everything)
            connection.request(method, self._server.path.rstrip("/") + path, body, sent)
        except BaseException:
            connection.close()
            raise
        return connection

    def keep(self, connection: Connection) -> None:
        """For another request: the answer has been read."""
        self._kept.append(connection)

    def _connection(self, proof: Proof) -> Connection:
        while self._kept:
            kept = self._kept.pop()
            if kept.shown == proof and kept.is_kept():
                return kept
            kept.close()
        return self._new(proof)

    def _new(self, proof: Proof) -> Connection:
        secure = self._server.scheme == "https"
        host, port = str(self._server.hostname), self._server.port or (443 if secure else 80)
        tls, name = self._context(proof) if secure else None, str(self._cluster.get("tls-server-name") or host)
        proxy = _proxy(self._cluster, self._server)
        if not proxy:
            return Connection(host, port, proof, tls, name)
        connection = Connection(str(proxy.hostname), proxy.port or 80, proof, tls, name)
        connection.set_tunnel(host, port)
        return connection

    def _context(self, proof: Proof) -> ssl.SSLContext:
        if self._tls is None or self._tls[0] != proof:
            self._tls = proof, tls_context(self._cluster, proof)
        return self._tls[1]


def tls_context(cluster: Object, proof: Proof) -> ssl.SSLContext:
    """Which servers are believed, and what is shown to them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif authority := pem(cluster, "certificate-authority"):
            context.load_verify_locations(cadata=authority.decode())
        else:
            context.load_default_certs()
        if proof.certificate:
            _show(context, proof)
    except (ssl.SSLError, ValueError) as error:
        raise Failure(f"a certificate or key of the kubeconfig is broken: {error}", "Log in again.") from error
    return context


def _show(context: ssl.SSLContext, proof: Proof) -> None:
    """Load a client certificate: OpenSSL wants a file, which nobody else may read and which is gone at once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "client.pem"
        file.write_bytes(proof.certificate + b"\n" + proof.key)
        context.load_cert_chain(file)


def _server(url: str) -> SplitResult:
    server = urlsplit(url if "://" in url else f"https://{url}")
    if server.scheme not in ("https", "http") or not server.hostname:
        raise Failure(f"no cluster: {url!r} in the kubeconfig is no server's URL", "Choose another by --context.")
    return server


def _proxy(cluster: Object, server: SplitResult) -> SplitResult | None:
    """The cluster's own proxy, or HTTPS_PROXY's unless NO_PROXY names the server, or it is on this machine."""
    url = cluster.get("proxy-url")
    if not url and not LOOPBACK.match(str(server.hostname)) and not proxy_bypass(server.netloc):
        url = getproxies().get(server.scheme)
    if not url:
        return None
    proxy = urlsplit(url)
    if proxy.scheme != "http" or not proxy.hostname:
        raise Failure(f"{url} is no HTTP proxy, and weft knows no others", "Give one as http://HOST:PORT.")
    return proxy


def _close(kept: deque[Connection]) -> None:
    for connection in kept:
        connection.close()
