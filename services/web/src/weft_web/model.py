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
    at_least: list[str] = []
    """Those of the three that are longer than proxies measure: the number is what they measure at most."""


class Totals(Struct):
    """Sums of the proxies' request counters as Prometheus last scraped them: exact, since the proxies started."""

    success: int = 0
    failure: int = 0
    cancelled: int = 0


class Row(Struct):
    """Traffic of one object. A number that is not known is null, and `note` says why; or what policies deny."""

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
    """The time the numbers are over: the window asked for, or as much of it as Prometheus has seen."""
    rows: list[Row]
    warnings: list[str] = []


class Ref(Struct, frozen=True):
    """An object by name; an empty name is whoever is outside the mesh: an address that is no known workload."""

    namespace: str
    kind: str
    name: str


class Names(Struct):
    """What there is, by name alone."""

    rows: list[Ref]


class Edge(Struct):
    """Traffic from one object to another, as the client's proxy saw it; from clients without one, as the server's."""

    src: Ref
    dst: Ref
    client_id: str
    server_id: str
    tls: str
    """`true`, or why there is no mutual TLS, as the metrics' label says it."""
    reason: str
    """The same in words; empty with mutual TLS."""
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


class InboundRow(Struct):
    """Requests that an object received, by route and client; an empty `client_id` is a client without identity."""

    dst: Ref
    route: str
    client_id: str
    tls: str
    success: float | None
    rps: float | None
    latency_seconds: Latency | None
    denied_rps: float
    """How many of `rps` a policy or rate limit refused."""


class Inbound(Struct):
    """What objects of a kind receive."""

    window_seconds: float
    rows: list[InboundRow]
    warnings: list[str] = []


class OutboundRow(Struct):
    """Requests that an object sent, by Service, route and the workload that answered (empty: outside the mesh)."""

    src: Ref
    service: Ref
    route: str
    backend: Ref
    success: float | None
    rps: float | None
    latency_seconds: Latency | None
    retries_per_second: float | None
    """Of the route, to whichever backend."""
    timeouts_per_second: float | None
    """Answers 504, or gRPC DEADLINE_EXCEEDED."""


class Outbound(Struct):
    """What objects of a kind send."""

    window_seconds: float
    rows: list[OutboundRow]
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


class Problem(Struct):
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
    """The dashboard's page about it."""


class Problems(Struct):
    """What is wrong, worst first; what only follows from another problem comes after it."""

    window_seconds: float
    problems: list[Problem]
    workloads: int
    """How many were looked at that have known numbers."""
    warnings: list[str] = []
    """What could not be looked at: with one of these, no problem does not mean that all is well."""


class Refused(Struct):
    """Calls within the window that a policy did not let pass, or would not."""

    namespace: str
    """Of the pods whose proxies decided."""
    policy: str
    """`shop/menu#1` for a rule, `policy shop/menu`, `namespace shop` or `cluster` for a default."""
    mode: str
    """`enforce`; `audit`: they passed, and were told; `limit`: they were too many."""
    calls: float


class Leaving(Struct):
    """Calls within the window to outside the mesh."""

    namespace: str
    """Of the callers."""
    destination: str
    """The host that they named, or the address."""
    verdict: str
    """`allow`; `audit`: allowed, though a draft would refuse them; `enforce`: refused."""
    calls: float


class Policies(Struct):
    """What policies refused, and what left the mesh: the highest counts first."""

    window_seconds: float
    refused: list[Refused]
    leaving: list[Leaving]
    warnings: list[str] = []


class Anchor(Struct):
    """A certificate that the mesh trusts."""

    subject: str
    not_after_timestamp_seconds: float
    sha256: str


class Identity(Struct):
    """A workload identity, and the pods that have it."""

    id: str
    namespace: str
    service_account: str
    pods: int
    """Running pods that have the proxy."""
    expiry_timestamp_seconds: float | None
    """When the first of their certificates ends; null when it is not known."""


class Identities(Struct):
    """The trust chain: anchors, the issuer, workloads; and all traffic without mutual TLS, with the reason."""

    window_seconds: float
    trust_domain: str
    anchors: list[Anchor]
    issuer_expiry_timestamp_seconds: float | None
    rows: list[Identity]
    plain: list[Edge]
    warnings: list[str] = []


class PodDetail(Struct):
    """A pod of a workload."""

    row: Row
    ready: bool
    restarts: int
    node: str
    created: str
    proxy_version: str
    """Empty without a proxy."""
    expiry_timestamp_seconds: float | None
    """Of its certificate."""
    breaker: str | None
    """`open` if some client leaves it out, `closed` if clients use its Services and none does; null: not known."""
    left_out_by: list[Ref] = []
    """Clients whose breaker for it is open."""


class Balancer(Struct):
    """A client's balancer over a Service's endpoints: of its proxies, the one that has most."""

    client: Ref
    service: Ref
    in_use: int
    """Endpoints that get requests."""
    left_out: int
    """Endpoints whose breaker is open."""
    trips: dict[str, int]
    """How often one was left out within the window, by reason: `unreachable`, `failures`, `success_rate`."""
    endpoints_left_out: list[str] = []
    """Pods, or addresses that are no pod's; of many the first."""


class Workload(Struct):
    """Everything about one object."""

    window_seconds: float
    row: Row
    pods: list[PodDetail]
    edges: list[Edge]
    routes: list[Route]
    balancers: list[Balancer]
    identities: list[str]
    warnings: list[str] = []


class Marker(Struct):
    """A change at a point in time."""

    timestamp_seconds: float
    text: str


class History(Struct):
    """An object's golden signals over time; a value that is not known is null."""

    step_seconds: int
    timestamps_seconds: list[int]
    success: list[float | None]
    rps: list[float | None]
    p50_seconds: list[float | None]
    p95_seconds: list[float | None]
    p99_seconds: list[float | None]
    markers: list[Marker]
    warnings: list[str] = []


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
