"""The way to an API server: TLS, proofs of who asks, proxies, connections that are kept."""

import base64
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from weft import transport
from weft.cluster import Kube
from weft.credentials import EXTENSION
from weft.errors import Failure
from weft.kubeconfig import Access
from weft.transport import Transport
from weft_pki.bundle import bundle_pem
from weft_pki.issue import new_anchor, serving_certificate, workload_leaf
from weft_pki.keys import key_pem, new_key

NAME, ME = "kubernetes.default", "spiffe://cluster.local/ns/shop/sa/me"
HOUR = timedelta(hours=1)


class Files:
    """An authority, a server's and a client's certificate, each as PEM in a file."""

    def __init__(self, folder: Path) -> None:
        now = datetime.now(UTC)
        anchor = new_anchor(now)
        keys = new_key(), new_key()
        server = serving_certificate(anchor, keys[0].public_key(), [NAME], now, HOUR)
        client = workload_leaf(anchor, keys[1].public_key(), ME, now, HOUR)
        self.ca, self.crt, self.key, self.server = (folder / name for name in ("ca", "crt", "key", "server"))
        self.ca.write_bytes(bundle_pem([anchor.certificate]))
        self.crt.write_bytes(bundle_pem([client]))
        self.key.write_bytes(key_pem(keys[1]))
        self.server.write_bytes(bundle_pem([server]) + key_pem(keys[0]))


def inline(file: Path) -> str:
    """As a kubeconfig's `…-data`."""
    return base64.b64encode(file.read_bytes()).decode()


class Echo(BaseHTTPRequestHandler):
    """Answers what it was asked, by whom, and over which connection; as a proxy it says so."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        peer = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        known = ("Authorization", "Impersonate-User", "Impersonate-Uid", "Impersonate-Group", "Impersonate-Extra-a%2Fb")
        told = {name: ", ".join(self.headers.get_all(name, ())) for name in known if self.headers[name]}
        asked = {"path": self.path, "headers": told, "client": dict((peer or {}).get("subjectAltName", ())).get("URI")}
        body = json.dumps(asked | {"port": self.client_address[1]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.path.endswith("/last")

    def do_CONNECT(self) -> None:
        self.send_error(403, f"no way to {self.path}")

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """With TLS, when it has a context."""

    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            pass  # a client that does not like the certificate
        finally:
            request.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Certificates."""
    return Files(tmp_path_factory.mktemp("certificates"))


def serve(tls: ssl.SSLContext | None) -> Iterator[str]:
    """The address of a server."""
    server = Server(("127.0.0.1", 0), Echo)
    server.tls = tls
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def server(files: Files) -> Iterator[str]:
    """A server that asks for a certificate, and does with none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server)
    context.load_verify_locations(files.ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    yield from serve(context)


@pytest.fixture
def proxy() -> Iterator[str]:
    """A proxy that lets nobody through, and says where they wanted to go."""
    yield from serve(None)


def kube(server: str, files: Files, user: dict[str, Any] | None = None, **cluster: Any) -> Kube:
    """A client of the server."""
    known = {"server": f"https://{server}/base/", "certificate-authority": str(files.ca), "tls-server-name": NAME}
    known |= {"extensions": [{"name": EXTENSION, "extension": "blend"}]}
    return Kube(Transport(Access(known | cluster, user or {}, "default")), "default")


@pytest.mark.parametrize("authority", ["certificate-authority", "certificate-authority-data"])
def test_the_authority_is_in_a_file_or_inline(server: str, files: Files, authority: str) -> None:
    """And a path of the server's URL goes before every other."""
    given = {"certificate-authority": None, authority: inline(files.ca) if "data" in authority else str(files.ca)}
    assert kube(server, files, **given).get("/version", a="b")["path"] == "/base/version?a=b"


@pytest.mark.parametrize(
    ("cluster", "why"),
    [
        ({"certificate-authority": None}, "self-signed certificate in certificate chain"),
        ({"tls-server-name": "other"}, "Hostname mismatch, certificate is not valid for 'other'."),
    ],
)
def test_a_server_that_is_not_trusted(server: str, files: Files, cluster: dict[str, Any], why: str) -> None:
    """Gets nothing, and the line says why; unless the kubeconfig wants no verification."""
    with pytest.raises(Failure) as caught:
        kube(server, files, **cluster).get("/version")
    assert f"its certificate is not trusted ({why})" in caught.value.message
    assert kube(server, files, **cluster, **{"insecure-skip-tls-verify": True}).get("/version")


@pytest.mark.parametrize("where", ["file", "inline"])
def test_a_client_certificate(server: str, files: Files, where: str) -> None:
    """In files or inline."""
    names = {"client-certificate": files.crt, "client-key": files.key}
    by_file = {name: str(file) for name, file in names.items()}
    by_data = {f"{name}-data": inline(file) for name, file in names.items()}
    assert kube(server, files, by_file if where == "file" else by_data).get("/")["client"] == ME


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, {}),
        ({"token": "t0ken"}, {"Authorization": "Bearer t0ken"}),
        ({"username": "me", "password": "x"}, {"Authorization": "Basic bWU6eA=="}),
        ({"token": "t", "as": "bob"}, {"Authorization": "Bearer t", "Impersonate-User": "bob"}),
        (
            {"as": "bob", "as-uid": "7", "as-groups": ["dev", "ops"], "as-user-extra": {"a/b": ["x", "y"]}},
            {
                "Impersonate-User": "bob",
                "Impersonate-Uid": "7",
                "Impersonate-Group": "dev, ops",
                "Impersonate-Extra-a%2Fb": "x, y",
            },
        ),
        ({"auth-provider": {"name": "oidc", "config": {"id-token": "t"}}}, {"Authorization": "Bearer t"}),
    ],
)
def test_a_user(server: str, files: Files, user: dict[str, Any], expected: dict[str, str]) -> None:
    """By token, by name and password, as somebody else."""
    assert kube(server, files, user).get("/")["headers"] == expected


def test_groups_of_nobody(server: str, files: Files) -> None:
    """Refused here: the API server would answer as if nobody else were meant, or not at all."""
    with pytest.raises(Failure, match="groups go with a user"):
        kube(server, files, {"as-groups": ["dev"]}).get("/")


def test_a_token_file_is_read_again(server: str, files: Files, tmp_path: Path) -> None:
    """Kubernetes changes it."""
    file = tmp_path / "token"
    cluster = kube(server, files, {"tokenFile": str(file)})
    for token in ("1", "2"):
        file.write_text(f"{token}\n")
        assert cluster.get("/")["headers"] == {"Authorization": f"Bearer {token}"}
    file.unlink()
    with pytest.raises(Failure, match=f"cannot read {file}, which the kubeconfig names"):
        cluster.get("/")


def test_an_old_token_of_a_provider(server: str, files: Files) -> None:
    """kubectl renews it."""
    payload = base64.urlsafe_b64encode(b'{"exp": 1}').decode().rstrip("=")
    provider = {"name": "oidc", "config": {"id-token": f"x.{payload}.x"}}
    with pytest.raises(Failure, match="the token of auth-provider oidc has expired"):
        kube(server, files, {"auth-provider": provider}).get("/")


PLUGIN = """
import json, os, sys
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
cluster = asked["spec"]["cluster"]
with open(sys.argv[1], "a") as log: print(cluster["config"], len(cluster["certificate-authority-data"]), file=log)
status = json.loads(os.environ["STATUS"])
print(json.dumps({"apiVersion": asked["apiVersion"], "kind": "ExecCredential", "status": status}))
"""


def plugin(log: Path, status: dict[str, Any]) -> dict[str, Any]:
    """A user with a plugin that gives this status, and notes each time it is run."""
    given = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", PLUGIN, str(log)],
        "env": [{"name": "STATUS", "value": json.dumps(status)}],
        "provideClusterInfo": True,
    }
    return {"exec": given}


def test_a_plugin_is_asked_once(server: str, files: Files, tmp_path: Path) -> None:
    """For a certificate or a token; it learns of the cluster if it wants to."""
    status = {"clientCertificateData": files.crt.read_text(), "clientKeyData": files.key.read_text(), "token": "t"}
    cluster = kube(server, files, plugin(tmp_path / "log", status))
    for _ in range(2):
        asked = cluster.get("/")
        assert (asked["client"], asked["headers"]) == (ME, {"Authorization": "Bearer t"})
    assert (tmp_path / "log").read_text() == f"blend {len(inline(files.ca))}\n"


def test_a_plugin_is_asked_again_when_its_token_ends(server: str, files: Files, tmp_path: Path) -> None:
    """A minute before."""
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 30))
    cluster = kube(server, files, plugin(tmp_path / "log", {"token": "t", "expirationTimestamp": ends}))
    for _ in range(2):
        cluster.get("/")
    assert len((tmp_path / "log").read_text().splitlines()) == 2


def test_a_plugin_that_is_missing_or_fails(server: str, files: Files) -> None:
    """Is named, with the kubeconfig's own hint."""
    missing = {"apiVersion": "v1", "command": "nosuch-login", "installHint": "Ask the teahouse."}
    with pytest.raises(Failure) as caught:
        kube(server, files, {"exec": missing}).get("/")
    assert caught.value.format_message() == "the kubeconfig's plugin nosuch-login is not installed. Ask the teahouse."
    with pytest.raises(Failure, match="the kubeconfig's plugin gives no credentials"):
        kube(server, files, {"exec": {"apiVersion": "v1", "command": "false"}}).get("/")


def test_a_proxy_is_asked_for_the_server(
    server: str, files: Files, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster's own, or HTTPS_PROXY unless NO_PROXY names the server or it is on this machine."""
    with pytest.raises(Failure, match=f"Tunnel connection failed: 403 no way to {server}"):
        kube(server, files, **{"proxy-url": f"http://{proxy}"}).get("/")
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy}")
    with pytest.raises(Failure, match=r"Tunnel connection failed: 403 no way to shop\.invalid:443"):
        kube("shop.invalid", files).get("/")
    monkeypatch.setenv("NO_PROXY", ".invalid")
    assert transport._proxy({}, urlsplit("https://shop.invalid")) is None
    assert kube(server, files).get("/")
    with pytest.raises(Failure, match="socks5://x is no HTTP proxy"):
        kube(server, files, **{"proxy-url": "socks5://x"}).get("/")


def test_connections_are_kept(server: str, files: Files) -> None:
    """Until the server ends them; then there is another one, and no error."""
    cluster = kube(server, files)
    first, second, last = (cluster.get(path)["port"] for path in ("/", "/", "/last"))
    wait_until_ended(cluster)
    assert first == second == last != cluster.get("/")["port"]


def wait_until_ended(cluster: Kube) -> None:
    """Until the server's end of the kept connection has come."""
    (kept,) = cluster._transport._kept
    assert isinstance(kept.sock, socket.socket)
    deadline = time.monotonic() + 5
    while kept.is_kept() and time.monotonic() < deadline:
        pass
