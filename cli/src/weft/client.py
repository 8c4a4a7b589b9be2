"""A client of weft's public API (web's `/api/v1`).

client = connect()
for row in client.stat("deployment", namespace="teahouse")["rows"]:
    print(row["name"], row["success"])
"""

from typing import TYPE_CHECKING, Any, TypedDict, cast
from urllib.parse import urlencode

from weft.errors import Failure
from weft.forward import Connect, get_json

if TYPE_CHECKING:
    from weft.cluster import Kube


class Meshed(TypedDict):
    """Pods of a workload: with a proxy, and all that run."""

    pods: int
    running: int


class Latency(TypedDict):
    """Seconds at three quantiles; None when there was too little traffic."""

    p50: float | None
    p95: float | None
    p99: float | None
    at_least: list[str]
    """Those of the three that are longer than proxies measure."""


class Totals(TypedDict):
    """Requests since the proxies started, as last scraped."""

    success: float
    failure: float
    cancelled: float


class StatRow(TypedDict):
    """Golden signals of one workload."""

    namespace: str
    kind: str
    name: str
    meshed: Meshed | None
    success: float | None
    rps: float | None
    latency_seconds: Latency | None
    tcp_open_connections: float | None
    tcp_read_bytes_per_second: float | None
    tcp_written_bytes_per_second: float | None
    totals: Totals | None
    status: str
    note: str


class Ref(TypedDict):
    """A workload."""

    namespace: str
    kind: str
    name: str


class EdgeRow(TypedDict):
    """Traffic from one workload to another; an empty name is whoever is outside the mesh."""

    src: Ref
    dst: Ref
    client_id: str
    server_id: str
    tls: str
    reason: str
    rps: float | None
    success: float | None
    tcp_open_connections: float | None


class RouteRow(TypedDict):
    """Client-side signals of one route of one Service; an empty route is what no route names."""

    route: str
    service: Ref
    success: float | None
    rps: float | None
    latency_seconds: Latency | None


class InboundRow(TypedDict):
    """Server-side signals of one route and one client; an empty client_id is a client without identity."""

    dst: Ref
    route: str
    client_id: str
    tls: str
    success: float | None
    rps: float | None
    latency_seconds: Latency | None
    denied_rps: float


class OutboundRow(TypedDict):
    """Client-side signals of one route and one backend, with what the proxy did about failures (each a second)."""

    src: Ref
    service: Ref
    route: str
    backend: Ref
    success: float | None
    rps: float | None
    latency_seconds: Latency | None
    retries_per_second: float | None
    timeouts_per_second: float | None


class Stat(TypedDict):
    """Answer of `stat`."""

    window_seconds: float
    rows: list[StatRow]
    warnings: list[str]


class Edges(TypedDict):
    """Answer of `edges`."""

    window_seconds: float
    rows: list[EdgeRow]
    warnings: list[str]


class Routes(TypedDict):
    """Answer of `routes`."""

    window_seconds: float
    rows: list[RouteRow]
    warnings: list[str]


class Inbound(TypedDict):
    """Answer of `inbound`."""

    window_seconds: float
    rows: list[InboundRow]
    warnings: list[str]


class Outbound(TypedDict):
    """Answer of `outbound`."""

    window_seconds: float
    rows: list[OutboundRow]
    warnings: list[str]


class Refused(TypedDict):
    """Calls that a policy did not let pass (mode `enforce`, or `limit`), or would not (`audit`)."""

    namespace: str
    policy: str
    mode: str
    calls: float


class Leaving(TypedDict):
    """Calls to outside the mesh, by host or address; verdict `allow`, `audit` or `enforce`: refused."""

    namespace: str
    destination: str
    verdict: str
    calls: float


class Policies(TypedDict):
    """Answer of `policies`."""

    window_seconds: float
    refused: list[Refused]
    leaving: list[Leaving]
    warnings: list[str]


class Problem(TypedDict):
    """Something that is wrong: what, most likely why, what shows it, and what to do."""

    id: str
    severity: str
    """`critical` or `warning`."""
    namespace: str
    title: str
    cause: str
    evidence: list[str]
    hint: str
    link: str


class Problems(TypedDict):
    """What is wrong, worst first; with a warning, no problem does not mean that all is well."""

    window_seconds: float
    problems: list[Problem]
    workloads: int
    """How many were looked at that have known numbers."""
    warnings: list[str]


class Client:
    """Questions to web over connections that `open_socket` gives."""

    def __init__(self, open_socket: Connect) -> None:
        self._open_socket = open_socket

    def version(self) -> dict[str, Any]:
        """What web says about itself."""
        return self.get("version")

    def stat(self, kind: str, **query: str) -> Stat:
        """Golden signals of the objects of a kind; the API's OpenAPI document has the parameters."""
        return cast("Stat", self.get("stat", kind=kind, **query))

    def edges(self, kind: str, **query: str) -> Edges:
        """Who talks with whom."""
        return cast("Edges", self.get("edges", kind=kind, **query))

    def routes(self, kind: str, **query: str) -> Routes:
        """Requests by route and Service, as the clients' proxies saw them."""
        return cast("Routes", self.get("routes", kind=kind, **query))

    def inbound(self, kind: str, **query: str) -> Inbound:
        """Requests that objects of a kind received, by route and client."""
        return cast("Inbound", self.get("inbound", kind=kind, **query))

    def outbound(self, kind: str, **query: str) -> Outbound:
        """Requests that objects of a kind sent, by Service, route and backend."""
        return cast("Outbound", self.get("outbound", kind=kind, **query))

    def problems(self, **query: str) -> Problems:
        """What is wrong, as the dashboard's Home tells it."""
        return cast("Problems", self.get("problems", **query))

    def policies(self, **query: str) -> Policies:
        """What policies refused, or would, and what left the mesh."""
        return cast("Policies", self.get("policies", **query))

    def get(self, path: str, /, **query: str) -> dict[str, Any]:
        """GET /api/v1/<path>, leaving out parameters that are empty."""
        given = urlencode({key: value for key, value in query.items() if value})
        status, body = get_json(self._open_socket, f"/api/v1/{path}" + (f"?{given}" if given else ""), "web")
        if status >= 400:
            error = body.get("error") or {}
            raise Failure(error.get("message") or f"web answered {status}", error.get("hint") or "")
        return dict(body)


def through(kube: "Kube") -> Client:
    """A client that reaches web through a cluster's API server."""
    from weft import forward
    from weft.names import PORT_WEB

    return Client(forward.to_component(kube, "web", PORT_WEB))


def connect(kubeconfig: str | None = None, context: str | None = None) -> Client:
    """A client that reaches web as kubectl would: through the API server, with the rights of the kubeconfig."""
    from weft.cluster import Kube

    return through(Kube.connect(kubeconfig, context))
