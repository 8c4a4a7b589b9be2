"""The command line run in-process against a Kubernetes API on a real socket."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from weft import forward
from weft.cluster import Kube
from weft.forward import Connect
from weft.main import cli
from weft_testkit import golden
from weft_testkit.fake_kube import FakeKube

Answers = dict[str, tuple[int, Any]]
"""What a server answers: path with query → status and body."""

Weft = Callable[..., Result]
Golden = Callable[[str, str], None]
KUBECONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "test", "cluster": {"server": ""}}],
    "users": [{"name": "test", "user": {"token": "t0ken"}}],
    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "teahouse"}}],
    "current-context": "test",
}


def kubeconfig(folder: Path, server: str) -> Path:
    """A kubeconfig for a server."""
    file = folder / "kubeconfig"
    content = KUBECONFIG | {"clusters": [{"name": "test", "cluster": {"server": server}}]}
    file.write_text(json.dumps(content))
    return file


@pytest.fixture
def weft() -> Weft:
    """Runs the CLI: `weft("check", "--pre", input=...)`."""

    def run(*arguments: str, **settings: Any) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="weft", **settings)

    return run


@pytest.fixture
def point_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a server the cluster of the current context."""

    def point(server: str) -> None:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, server)))

    return point


@pytest.fixture
def kube(point_at: Callable[[str], None]) -> Iterator[FakeKube]:
    """An empty cluster of a supported version, in which everything is allowed."""
    fake = FakeKube()
    fake.on_request("GET", "/version", lambda _: {"major": "1", "minor": "33+"})
    fake.on_request("POST", ".*/selfsubjectaccessreviews", lambda _: {"status": {"allowed": True}})
    started, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with fake:
            started.set()
            await stop.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait()
    point_at(fake.cluster.url)
    yield fake
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture
def same() -> Golden:
    """Compares a text with the golden file of that name."""

    def compare(name: str, actual: str) -> None:
        assert golden.expected(Path(__file__).parent / "golden" / name, actual) == actual

    return compare


@pytest.fixture
def answers() -> Answers:
    """What web answers: path with query → status and body."""
    return {}


@pytest.fixture
def asked() -> list[Any]:
    """What was posted to web."""
    return []


@pytest.fixture
def web(answers: Answers, asked: list[Any]) -> Iterator[Connect]:
    """A server in the place of web; gives connections to it."""
    with serving(answers, asked) as connect:
        yield connect


@pytest.fixture
def pods(kube: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Answers]]:
    """What each pod answers that a port-forward leads to, by "namespace/name:port"; nobody listens at others."""
    answers: dict[str, Answers] = {}
    with ExitStack() as servers:

        def forwarded(_: Kube, namespace: str, pod: str, port: int) -> Any:
            if (where := f"{namespace}/{pod}:{port}") not in answers:
                raise OSError(f"nobody listens at {where}")
            return servers.enter_context(serving(answers[where], []))()

        monkeypatch.setattr(Kube, "forward", forwarded)
        yield answers


@contextmanager
def serving(answers: Answers, asked: list[Any]) -> Iterator[Connect]:
    """A server that answers so, and keeps what is posted."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.do_GET()

        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, {"error": {"code": "none", "message": self.path}}))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield lambda: socket.create_connection(server.server_address[:2])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def forwarded(web: Connect, kube: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every port-forward lead to web."""
    monkeypatch.setattr(forward, "to_component", lambda *_: web)
