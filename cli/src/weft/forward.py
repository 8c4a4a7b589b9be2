"""Port-forward to weft's own pods: one connection for HTTP, or a local port for browsers."""

import http.client
import json
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from weft.errors import Failure
from weft.names import COMPONENT, NAMESPACE

if TYPE_CHECKING:
    from weft.cluster import Kube

Connect = Callable[[], Any]
"""Opens a new connected socket."""

READ_SECONDS = 30.0


class ForwardedHTTP(http.client.HTTPConnection):
    """HTTP over a socket that somebody else connects."""

    def __init__(self, open_socket: Connect) -> None:
        super().__init__("localhost", timeout=READ_SECONDS)
        self._open_socket = open_socket

    def connect(self) -> None:
        """Take a new socket."""
        self.sock = self._open_socket()
        self.sock.settimeout(READ_SECONDS)


def to_component(kube: "Kube", component: str, port: int) -> Connect:
    """Connections to a ready pod of one of weft's components; each looks it up, since pods come and go."""

    def connect() -> Any:
        pod = ready_pod(kube, component)
        if pod is None:
            raise _none_ready(component)
        return kube.forward(NAMESPACE, pod, port)

    return connect


def to_each(kube: "Kube", component: str, port: int) -> dict[str, Connect]:
    """Connections to each ready pod of a component, by the pod's name."""
    pods = ready_pods(kube, component)
    if not pods:
        raise _none_ready(component)
    return {pod: partial(kube.forward, NAMESPACE, pod, port) for pod in sorted(pods)}


def _none_ready(component: str) -> Failure:
    return Failure(
        f"no pod of {component} is ready in namespace {NAMESPACE}",
        "See `weft check`; if viz is not installed, run `weft viz install | kubectl apply -f -`.",
    )


def ready_pod(kube: "Kube", component: str) -> str | None:
    """The name of a pod of the component that is ready and stays."""
    return next(iter(ready_pods(kube, component)), None)


def ready_pods(kube: "Kube", component: str) -> list[str]:
    """The names of all of them."""
    from weft.cluster import is_ready

    pods = kube.list(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector=f"{COMPONENT}={component}")
    ready = (pod["metadata"] for pod in pods if is_ready(pod))
    return [metadata["name"] for metadata in ready if "deletionTimestamp" not in metadata]


def get_json(open_socket: Connect, path: str, name: str) -> tuple[int, Any]:
    """Status and JSON of one GET; `name` says in a failure who did not answer."""
    return _parsed(name, *get(open_socket, path, name, accept="application/json"))


def post_json(open_socket: Connect, path: str, body: Any, name: str) -> tuple[int, Any]:
    """The same of one POST."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    return _parsed(name, *_exchange(open_socket, path, name, headers, json.dumps(body).encode()))


def _parsed(name: str, status: int, body: bytes) -> tuple[int, Any]:
    if status >= 400 and not body.startswith(b"{"):
        return status, {"error": {"message": body.decode(errors="replace").strip()}}
    try:
        return status, json.loads(body)
    except ValueError as error:
        raise Failure(f"{name} does not answer as it should: {error}", "See `weft check`.") from error


def get(open_socket: Connect, path: str, name: str, accept: str = "text/plain") -> tuple[int, bytes]:
    """Status and body of one GET."""
    return _exchange(open_socket, path, name, {"Accept": accept})


def _exchange(
    open_socket: Connect, path: str, name: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, bytes]:
    connection = ForwardedHTTP(open_socket)
    try:
        connection.request("GET" if body is None else "POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        cause = str(error) or type(error).__name__
        raise Failure(f"{name} does not answer as it should: {cause}", "See `weft check`.") from error
    finally:
        connection.close()


class LocalForwarder:
    """Listens on a port of this machine's loopback and forwards each connection."""

    def __init__(self, open_socket: Connect, port: int) -> None:
        self._open_socket = open_socket
        self._told = ""
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"forward :{self.port}", daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        _shutdown(self._listener)  # wakes accept
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            remote = self._open_socket()
        except (Failure, OSError) as error:
            self._tell(error)
            client.close()
            return
        self._told = ""
        back = threading.Thread(target=_pump, args=(remote, client), daemon=True)
        back.start()
        _pump(client, remote)
        back.join()
        client.close()
        remote.close()

    def _tell(self, error: Failure | OSError) -> None:
        """Say once what fails: browsers try again and again."""
        text = error.format_message() if isinstance(error, Failure) else str(error)
        if text != self._told:
            self._told = text
            click.echo(f"weft: {text}", err=True)


def listen(open_socket: Connect, preferred: int, strict: bool) -> LocalForwarder:
    """A forwarder on the preferred port, or on a free one unless the port was asked for."""
    try:
        return LocalForwarder(open_socket, preferred)
    except OSError as error:
        if strict:
            cause = f"cannot listen on port {preferred}: {os.strerror(error.errno or 0)}"
            raise Failure(cause, "Choose another by --port, or none.") from error
        return LocalForwarder(open_socket, 0)


def _pump(source: Any, sink: Any) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # Either side is gone: end the other direction as well.
        for end in (source, sink):
            _shutdown(end)


def _shutdown(end: Any) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        end.close()
