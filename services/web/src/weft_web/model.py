"""Answers of the public API, version 1: the structs are the OpenAPI document's schemas. Times are in seconds."""

from msgspec import Struct


class Meshed(Struct):
    """How much of something is in the mesh."""

    pods: int
    """Running pods that have the proxy."""
    running: int
    """Running pods."""


class Latency(Struct):
    """Quantiles of the time to the response's head."""

    p50: float | None
    p95: float | None
    p99: float | None


class Totals(Struct):
    """Sums of the proxies' request counters as Prometheus last scraped them: exact, since the proxies started."""

    success: int = 0
    failure: int = 0
    cancelled: int = 0


class Row(Struct):
    """Traffic of one object. A number that is not known is null, and `note` says why."""

    namespace: str
    kind: str
    name: str
    meshed: Meshed | None = None
    success: float | None = None
    rps: float | None = None
    latency_seconds: Latency | None = None
    tcp_open_connections: int | None = None
    tcp_read_bytes_per_second: float | None = None
    tcp_written_bytes_per_second: float | None = None
    totals: Totals | None = None
    status: str = ""
    """Of a pod, as kubectl prints it."""
    note: str = ""


class Stat(Struct):
    """Rows of one kind."""

    window_seconds: float
    rows: list[Row]
    warnings: list[str] = []


class Ref(Struct, frozen=True):
    """An object by name; an empty name is traffic to an address that is no known workload."""

    namespace: str
    kind: str
    name: str


class Edge(Struct):
    """Traffic from one object to another, as the client's proxy saw it."""

    src: Ref
    dst: Ref
    client_id: str
    server_id: str
    tls: str
    """`true`, or why there is no mutual TLS."""
    rps: float | None
    success: float | None
    tcp_open_connections: int | None


class Edges(Struct):
    """All edges that touch the namespace."""

    window_seconds: float
    rows: list[Edge]
    warnings: list[str] = []


class Route(Struct):
    """Traffic of one client by route and Service; an empty route is what no route names."""

    route: str
    service: Ref
    success: float | None
    rps: float | None
    latency_seconds: Latency | None


class Routes(Struct):
    """Routes of one object's requests, or to one Service."""

    window_seconds: float
    rows: list[Route]
    warnings: list[str] = []


class Topology(Struct):
    """A namespace's workloads, and those that talk with them."""

    window_seconds: float
    nodes: list[Row]
    edges: list[Edge]
    warnings: list[str] = []


class Check(Struct):
    """One thing looked at: `name` says what, `message` what was found, good or bad."""

    id: str
    category: str
    name: str
    result: str
    """`success`, `warning` or `error`."""
    message: str = ""
    hint: str = ""


class Checks(Struct):
    """Health of the mesh as web sees it."""

    ok: bool
    checks: list[Check]


class Version(Struct):
    """Of web, and where Grafana is (null without one)."""

    version: str
    grafana_url: str | None
    tap: bool
    """May the dashboard tap?"""


class Change(Struct):
    """What a stream of rows sends: all rows at first, then those that are new or different, and those that are gone."""

    window_seconds: float
    rows: list[Row]
    removed: list[Ref]
    warnings: list[str] = []


class ErrorBody(Struct):
    """Why a request was refused."""

    code: str
    message: str
    hint: str = ""


class Error(Struct):
    """The body of every answer with a status of 400 and above."""

    error: ErrorBody
