"""The Kubernetes API as the CLI uses it: plain JSON over the transport of the `kubernetes` package."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlencode

from weft.errors import ApiError, Failure
from weft.names import MINIMUM_KUBERNETES

Object = dict[str, Any]
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
CHUNK = 65536
MALFORMED = (ValueError, TypeError, AttributeError, KeyError)
"""What the loader raises on YAML that is no kubeconfig."""


class Kube:
    """One cluster, with the user's own credentials."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    @classmethod
    def connect(cls, kubeconfig: str | None, context: str | None) -> "Kube":
        """Load the kubeconfig; nothing is sent yet."""
        import yaml
        from kubernetes import config

        try:
            api = config.new_client_from_config(kubeconfig, context)  # type: ignore[no-untyped-call]
            contexts = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]
        except (config.ConfigException, yaml.YAMLError, OSError, *MALFORMED) as error:
            raise Failure(f"no cluster: {error}", "Start one, or name one by --kubeconfig and --context.") from error
        return cls(api, _context_namespace(contexts, context))

    @property
    def host(self) -> str:
        """URL of the API server."""
        return str(self._api.configuration.host)

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
        response = self._send("GET", path, query, None, accept="*/*")
        try:
            return str(response.read().decode(errors="replace"))
        finally:
            response.release_conn()

    def post(self, path: str, body: Object) -> Object:
        """POST (access reviews, and the wish for a rotation)."""
        return self._json("POST", path, {}, body)

    def merge(self, path: str, body: Object) -> Object:
        """PATCH by a JSON merge patch."""
        return self._json("PATCH", path, {}, body)

    def lines(self, path: str, /, **query: str) -> Iterator[bytes]:
        """A streamed answer, line by line, until the server or the caller ends it."""
        response = self._send("GET", path, query, None, read_seconds=None)
        try:
            yield from _split_lines(iter(lambda: response.read1(CHUNK), b""))
        except OSError as error:
            raise Failure(f"the stream of {self.host} broke: {error}", "Run the command again.") from error
        finally:
            response.close()

    def forward(self, namespace: str, pod: str, port: int) -> Any:
        """A connected socket to a port of a pod, by the API server's port-forward."""
        from kubernetes.client.exceptions import ApiException
        from kubernetes.stream.ws_client import portforward_call

        url = f"{self.host}/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        try:
            forward = portforward_call(  # type: ignore[no-untyped-call]
                self._api.configuration, "GET", url, query_params=[("ports", str(port))], headers=self._headers()
            )
        except ApiException as error:
            raise Failure(
                f"cannot port-forward to {namespace}/{pod}:{port}: {error.reason}",
                "See that the pod runs and that you may create pods/portforward in its namespace.",
            ) from error
        return forward.socket(port)

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
        response = self._send("GET", "/version", {}, None)
        response.close()
        return str(response.headers.get("Date", ""))

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for auth in self._api.configuration.auth_settings().values():
            headers[auth["key"]] = auth["value"]
        return headers

    def _json(self, method: str, path: str, query: dict[str, str], body: Object | None = None) -> Object:
        response = self._send(method, path, query, body)
        try:
            return cast("Object", json.loads(response.read()))
        except ValueError as error:
            raise Failure(f"{self.host} does not answer like a Kubernetes API", "Check the kubeconfig.") from error
        finally:
            response.release_conn()

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Object | None,
        *,
        read_seconds: float | None = READ_SECONDS,
        accept: str = "application/json",
    ) -> Any:
        import urllib3

        url = self.host + path + (f"?{urlencode(query)}" if query else "")
        content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {**self._headers(), "Accept": accept, "Content-Type": content_type}
        try:
            response = self._api.rest_client.pool_manager.request(
                method,
                url,
                body=json.dumps(body) if body is not None else None,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
                retries=False,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Failure(
                f"cannot reach the cluster at {self.host}: {_reason(error)}",
                "Start it, or choose another by --context or --kubeconfig.",
            ) from error
        if response.status >= 400:
            raise _refused(response, path)
        return response


def require_supported(kube: Kube) -> None:
    """Refuse a Kubernetes without native sidecars."""
    version = kube.version()
    if version < MINIMUM_KUBERNETES:
        raise Failure(
            "Kubernetes is {}.{}, and weft needs native sidecars".format(*version),
            "Upgrade the cluster to {}.{} or newer.".format(*MINIMUM_KUBERNETES),
        )


def is_ready(pod: Object) -> bool:
    """Whether a pod's Ready condition holds."""
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _context_namespace(contexts: tuple[list[Object], Object], chosen: str | None) -> str:
    known, current = contexts
    context = next((c for c in known if c["name"] == chosen), current)
    return str(context.get("context", {}).get("namespace") or "default")


def _split_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
    if rest:
        yield rest


def _reason(error: BaseException) -> str:
    text = str(getattr(error, "reason", None) or error)
    return re.sub(r"^.*\[Errno -?\d+\] ", "", text).rstrip(")")


def _refused(response: Any, path: str) -> ApiError:
    body = response.read()
    response.release_conn()
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace")[:200] or str(response.reason)
    step = ""
    if response.status == 401:
        message, step = f"the cluster does not accept your credentials ({message})", "Log in again."
    elif response.status == 403:
        message, step = f"no permission: {message}", "Ask a cluster administrator for it, or use another --context."
    return ApiError(response.status, message or path, step)
