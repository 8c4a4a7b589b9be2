"""The Kubernetes API as the CLI uses it: plain JSON, with the user's own kubeconfig."""

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import cast
from urllib.parse import urlencode

from weft.errors import ApiError, Failure
from weft.kubeconfig import Object, load
from weft.names import MINIMUM_KUBERNETES
from weft.transport import Connection, Transport

__all__ = ["Kube", "Object", "is_ready", "require_namespace", "require_supported"]
READ_SECONDS = 30.0
CHUNK = 65536
JSON, MERGE_PATCH = "application/json", "application/merge-patch+json"


class Kube:
    """One cluster, with the user's own credentials."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self._transport = transport
        self.namespace = namespace

    @classmethod
    def connect(cls, kubeconfig: str | None, context: str | None, acting: Object | None = None) -> "Kube":
        """Load the kubeconfig; nothing is sent yet. `acting`: as whom else, by a kubeconfig's own names for that."""
        access = load(kubeconfig, context)
        return cls(Transport(access._replace(user=access.user | (acting or {}))), access.namespace)

    @property
    def host(self) -> str:
        """URL of the API server."""
        return self._transport.host

    def get(self, path: str, /, **query: str) -> Object:
        """GET one object; ApiError when it is refused."""
        return self._json("GET", path, query)

    def find(self, path: str, /, **query: str) -> Object | None:
        """GET one object; None when there is none."""
        try:
            return self.get(path, **query)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str, /, **query: str) -> list[Object]:
        """All items of a list, page by page."""
        items: list[Object] = []
        more = {"limit": "500"}
        while more:
            page = self.get(path, **query, **more)
            items += page.get("items") or []
            token = page.get("metadata", {}).get("continue")
            more = {"limit": "500", "continue": token} if token else {}
        return items

    def text(self, path: str, /, **query: str) -> str:
        """GET what is no JSON, such as a log."""
        return self._answer("GET", path, query, accept="*/*")[1].decode(errors="replace")

    def post(self, path: str, body: Object) -> Object:
        """POST (access reviews, and the wish for a rotation)."""
        return self._json("POST", path, {}, body)

    def merge(self, path: str, body: Object) -> Object:
        """PATCH by a JSON merge patch."""
        return self._json("PATCH", path, {}, body)

    def lines(self, path: str, /, **query: str) -> Iterator[bytes]:
        """A streamed answer, line by line, until the server or the caller ends it."""
        connection, response = self._begin("GET", path, query, read_seconds=None)
        try:
            yield from _split_lines(iter(lambda: response.read1(CHUNK), b""))
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"the stream of {self.host} broke: {_reason(error)}", "Run the command again.") from error
        finally:
            connection.close()

    def forward(self, namespace: str, pod: str, port: int) -> socket.socket:
        """A connected socket to a port of a pod, by the API server's port-forward."""
        from weft import pod_socket

        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        try:
            connection, response = self._begin("GET", path, {"ports": str(port)}, headers=pod_socket.HEADERS)
        except ApiError as error:
            raise Failure(
                f"cannot port-forward to {namespace}/{pod}:{port}: {error.message}",
                "See that the pod runs and that you may create pods/portforward in its namespace.",
            ) from error
        return pod_socket.carried(*connection.taken(response))

    def version(self) -> tuple[int, int]:
        """Major and minor version of the API server."""
        info = self.get("/version")
        return int(info["major"]), int("".join(filter(str.isdigit, info["minor"])))

    def allowed(self, verb: str, group: str, resource: str, namespace: str = "") -> bool:
        """Whether the user may do this."""
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        review = self.post(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            },
        )
        return bool(review.get("status", {}).get("allowed"))

    def server_date(self) -> str:
        """The API server's clock, as its Date header says it."""
        return str(self._answer("GET", "/version", {})[0].headers.get("Date", ""))

    def _json(self, method: str, path: str, query: dict[str, str], body: Object | None = None) -> Object:
        _, text = self._answer(method, path, query, body)
        try:
            return cast("Object", json.loads(text))
        except ValueError as error:
            raise Failure(f"{self.host} does not answer like a Kubernetes API", "Check the kubeconfig.") from error

    def _answer(
        self, method: str, path: str, query: dict[str, str], body: Object | None = None, accept: str = JSON
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """An answer, read to its end."""
        connection, response = self._begin(method, path, query, body, headers={"Accept": accept})
        with self._failures(connection):
            text = response.read()
        self._transport.keep(connection)
        return response, text

    def _begin(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Object | None = None,
        *,
        headers: Mapping[str, str] = MappingProxyType({"Accept": JSON}),
        read_seconds: float | None = READ_SECONDS,
    ) -> tuple[Connection, http.client.HTTPResponse]:
        """An answer that begins; ApiError when it is a refusal."""
        sent = json.dumps(body) if body is not None else None
        kind = {"Content-Type": MERGE_PATCH if method == "PATCH" else JSON} if sent else {}
        target = f"{path}?{urlencode(query)}" if query else path
        with self._failures():
            connection = self._transport.send(method, target, {**headers, **kind}, sent)
        with self._failures(connection):
            response = connection.answer(read_seconds)
            refusal = _refused(response, path) if response.status >= 400 else None
        if refusal:
            self._transport.keep(connection)
            raise refusal
        return connection, response

    @contextmanager
    def _failures(self, connection: Connection | None = None) -> Iterator[None]:
        """Say what keeps the cluster from answering; the connection ends then."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            if connection:
                connection.close()
            raise Failure(
                f"cannot reach the cluster at {self.host}: {_reason(error)}",
                "Start it, or choose another by --context or --kubeconfig.",
            ) from error


def require_supported(kube: Kube) -> None:
    """Refuse a Kubernetes without native sidecars."""
    version = kube.version()
    if version < MINIMUM_KUBERNETES:
        raise Failure(
            "Kubernetes is {}.{}, and weft needs native sidecars".format(*version),
            "Upgrade the cluster to {}.{} or newer.".format(*MINIMUM_KUBERNETES),
        )


def require_namespace(kube: Kube, name: str) -> None:
    """Refuse a namespace that there is not; who may not look at namespaces is believed. `*` is all of them."""
    try:
        found = name == "*" or kube.find(f"/api/v1/namespaces/{name}")
    except ApiError:
        return
    if not found:
        raise Failure(f"there is no namespace {name}", "Name another by -n, or all by -A.")


def is_ready(pod: Object) -> bool:
    """Whether a pod's Ready condition holds."""
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _split_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
    if rest:
        yield rest


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, http.client.IncompleteRead):
        return "it ended in the middle"
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__


def _refused(response: http.client.HTTPResponse, path: str) -> ApiError:
    body = response.read()
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace")[:200] or response.reason
    step = ""
    if response.status == 401:
        message, step = f"the cluster does not accept your credentials ({message})", "Log in again."
    elif response.status == 403:
        message, step = f"no permission: {message}", "Ask a cluster administrator for it, or use another --context."
    return ApiError(response.status, message or path, step)
