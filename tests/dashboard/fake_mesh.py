"""A mesh to look at: web in this process, on a socket, over a Kubernetes and a Prometheus that are told what to say.

The tea house: crowd → counter → menu → kettle, whose every third answer fails; a plain client calls the counter;
loyalty is not in the mesh, idle has no traffic; a policy denies some of the counter's calls. `many` adds Deployments
with two pods each.
"""

import asyncio
import re
import threading
from collections import defaultdict
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from weft_kube.api import KubeApi
from weft_kube.objects import (
    Condition,
    Meta,
    Object,
    OwnerReference,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
    Service,
    ServiceSpec,
)
from weft_kube.workloads import KINDS
from weft_testkit.fake_kube import FakeKube
from weft_testkit.listen import listen, served
from weft_web.catalog import REVISION, Catalog
from weft_web.mesh import Mesh
from weft_web.metrics import Metrics
from weft_web.model import Version
from weft_web.prometheus import ANSWER_BYTES, Prometheus
from weft_web.server import application
from weft_web.static import Static
from weft_web.views import Views

GRAFANA = "https://grafana.example"
STATIC = Path(__file__).parents[2] / "services/web/dashboard/dist"
SPACE = "teahouse"
CALLS = (("crowd", "counter", 400, 200), ("counter", "menu", 500, 100), ("menu", "kettle", 200, 100))
"""Who calls whom: good and bad answers within the window."""

LEFT_OUT = "10.0.0.9:8080"
"""The endpoint of kettle that its client leaves out."""

READY = Condition("Ready", "True")
BOUNDS = {"0.005": 0.5, "0.01": 0.9, "0.05": 0.99, "0.1": 1.0, "+Inf": 1.0}
Series = tuple[str, dict[str, str], float]


class FakeMesh:
    """Runs in a thread of its own; use as a context manager."""

    def __init__(self, many: int = 0) -> None:
        self.url = ""
        self.trouble = ""
        """Of Prometheus: `broken` (out of memory), `empty` (it knows no series), `wide` (it has too many),
        `history` (of what was before it tells nothing)."""
        self._series = (
            [one for call in CALLS for one in _call(SPACE, *call)] + _plain() + _denied() + _up(SPACE, "idle")
        )
        for number in range(many):
            self._series += _call(f"shop-{number % 20}", f"web-{number}", f"web-{(number + 1) % many}", 60, 0)
        self._many = many
        self._answers: dict[str, list[tuple[dict[str, str], float]]] = {}
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> "FakeMesh":
        self._thread.start()
        self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            kube = await stack.enter_async_context(FakeKube())
            kube.on_request("GET", "/apis/tap.weft.dev/.*", lambda _: EXCHANGE)
            kube.on_request(
                "GET", "/apis/tap.weft.dev/.*/loyalty/tap", lambda _: (403, {"message": "web may not watch"})
            )
            api = await stack.enter_async_context(KubeApi(kube.cluster))
            source = web.Application()
            source.router.add_post("/api/v1/query", self._query)
            source.router.add_post("/api/v1/query_range", self._query)
            told, mesh = Version("0.1.0", GRAFANA, True), Mesh("weft", "cluster.local", "0.1.0")
            prometheus = stack.enter_context(closing(Prometheus(await listen(source, stack))))
            views = Views(api, self._catalog(), prometheus, told, mesh)
            self.url = await served(application(views, api, Static(STATIC), Metrics("0.1.0")), stack)
            self._ready.set()
            await self._stop.wait()

    def _catalog(self) -> Catalog:
        catalog = Catalog(kind.name for kind in KINDS if kind.name != "pod")
        names = [(SPACE, name) for name in ("crowd", "counter", "menu", "kettle", "idle")]
        names += [(f"shop-{number % 20}", f"web-{number}") for number in range(self._many)]
        for space in dict.fromkeys(["weft", *(space for space, _ in names)]):
            catalog.stores["namespace"].apply(Object(Meta(name=space)))
        for space, name in names:
            _deployment(catalog, space, name)
        for name in ("kettle", "menu", "counter"):
            catalog.stores["service"].apply(
                Service(Meta(name=name, namespace=SPACE), ServiceSpec(selector={"app": name}))
            )
        catalog.stores["replicaset"].apply(_version("menu"))
        _deployment(catalog, SPACE, "loyalty", meshed=False)
        return catalog

    async def _query(self, request: web.Request) -> web.Response:
        form = await request.post()
        if self.trouble == "broken" or (self.trouble == "history" and "step" in form):
            return web.json_response({"status": "error", "error": "out of memory"}, status=500)
        if self.trouble == "wide":
            return web.Response(body=b" " * (ANSWER_BYTES + 1))
        expression = str(form["query"])
        if expression not in self._answers:
            self._answers[expression] = evaluate(expression, self._series)
        found = [] if self.trouble == "empty" else self._answers[expression]
        if "step" not in form:
            result = [{"metric": labels, "value": [0, str(value)]} for labels, value in found]
        else:
            times = range(int(str(form["start"])), int(str(form["end"])) + 1, int(str(form["step"])))
            result = [{"metric": labels, "values": [[at, str(value / 60)] for at in times]} for labels, value in found]
        return web.json_response({"status": "success", "data": {"result": result}})


def evaluate(expression: str, series: list[Series]) -> list[tuple[dict[str, str], float]]:
    """Sums by labels over the series of the first selector: as much PromQL as web's questions need here."""
    found = re.search(r"(\w+){(.*?)}", expression)
    by = re.search(r"by \((.*?)\)", expression)
    if not found or " < " in expression or "== 0" in expression:
        return []
    matchers = re.findall(r'(\w+)(=~|!~|!=|=)"(.*?)"', found[2])
    labels = by[1].split(", ") if by else ["namespace", "pod"]
    sums: dict[tuple[str, ...], float] = defaultdict(float)
    for metric, own, value in series:
        if metric == found[1] and all(_fits(own.get(name, ""), how, text) for name, how, text in matchers):
            sums[tuple(own.get(label, "") for label in labels)] += value
    return [(dict(zip(labels, key, strict=True)), value) for key, value in sums.items()]


def _fits(value: str, how: str, text: str) -> bool:
    same = re.fullmatch(text, value) is not None if "~" in how else value == text
    return same if how in ("=", "=~") else not same


def _call(space: str, src: str, dst: str, good: float, bad: float) -> list[Series]:
    to = {"dst_namespace": space, "dst_workload_kind": "deployment", "dst_workload": dst}
    sent = _own(space, src) | to | {"direction": "outbound", "tls": "true", "dst_service": dst}
    sent["peer_identity"] = f"spiffe://cluster.local/ns/{space}/sa/{dst}"
    got = _own(space, dst) | to | {"direction": "inbound", "tls": "true"}
    got["peer_identity"] = f"spiffe://cluster.local/ns/{space}/sa/{src}"
    ends = [*_up(space, src), *_up(space, dst)]
    return [*_counted(sent, good, bad), *_counted(got, good, bad), *_balanced(sent, bad > 0), *ends]


def _balanced(sent: dict[str, str], broken: bool) -> list[Series]:
    """Two endpoints of a Service; of one whose answers fail, one is left out."""
    states = [("closed", 1 if broken else 2), ("open", 1 if broken else 0)]
    found: list[Series] = [("weft_balancer_endpoints", sent | {"state": state}, number) for state, number in states]
    if sent["dst_service"] == "kettle":
        found.append(("weft_balancer_left_out", sent | {"endpoint": LEFT_OUT}, 1))
    return [*found, ("weft_breaker_trips_total", sent | {"reason": "failures"}, 3 if broken else 0)]


def _plain() -> list[Series]:
    labels = _own(SPACE, "counter") | {"direction": "inbound", "tls": "no_identity", "peer_identity": ""}
    return _counted(labels, 60, 0)


def _denied() -> list[Series]:
    labels = {"policy": "teahouse/counter#1", "mode": "enforce", "peer_identity": "", "direction": "inbound"}
    return [("weft_policy_denied_total", _own(SPACE, "counter") | labels, 3)]


def _counted(labels: dict[str, str], good: float, bad: float) -> list[Series]:
    requests = [("success", "200", good), ("failure", "500", bad)]
    found: list[Series] = [
        ("weft_requests_total", labels | {"result": result, "status": status, "route": ""}, count)
        for result, status, count in requests
        if count
    ]
    latency = "weft_response_duration_seconds_bucket"
    found += [(latency, labels | {"le": bound}, share * (good + bad)) for bound, share in BOUNDS.items()]
    return [*found, ("weft_tcp_open_connections", labels, 2), ("weft_tcp_opened_total", labels, 2)]


def _up(space: str, name: str) -> list[Series]:
    pods = [_own(space, name) | {"job": "weft-proxy", "pod": f"{name}-5d4-{index}"} for index in range(2)]
    metrics = (("up", 1), ("weft_identity_expiry_timestamp_seconds", 4e9))
    return [(metric, pod, value) for pod in pods for metric, value in metrics]


def _own(space: str, name: str) -> dict[str, str]:
    return {"namespace": space, "workload_kind": "deployment", "workload": name, "pod": f"{name}-5d4-0"}


def _deployment(catalog: Catalog, space: str, name: str, *, meshed: bool = True) -> None:
    catalog.stores["deployment"].apply(Object(Meta(name=name, namespace=space)))
    labels = {"app": name, "pod-template-hash": "5d4"} | ({"weft.dev/proxy-version": "0.1.0"} if meshed else {})
    owner = [OwnerReference("ReplicaSet", f"{name}-5d4", controller=True)]
    for index in range(2):
        meta = Meta(name=f"{name}-5d4-{index}", namespace=space, labels=labels, owner_references=owner)
        spec = PodSpec(service_account_name=name, node_name="node-1")
        address = LEFT_OUT.partition(":")[0] if meta.name == "kettle-5d4-0" else "10.0.0.1"
        catalog.pod_store.apply(Pod(meta, spec, PodStatus("Running", pod_ips=[PodIP(address)], conditions=[READY])))


def _version(name: str) -> Object:
    """The seventh of a Deployment, made just now."""
    meta = Meta(name=f"{name}-5d4", namespace=SPACE, annotations={REVISION: "7"})
    meta.creation_timestamp = datetime.now(UTC).isoformat()
    meta.owner_references = [OwnerReference("Deployment", name, controller=True)]
    return Object(meta)


EXCHANGE: dict[str, Any] = {
    "id": 1, "started_us": 1_700_000_000_000_000, "direction": "inbound", "source": "10.0.0.9:5000",
    "destination": "10.0.0.1:80", "tls": "true", "peer_identity": f"spiffe://cluster.local/ns/{SPACE}/sa/menu",
    "method": "POST", "authority": "kettle", "path": "/BrewOolong", "status": 500, "grpc_status": -1,
    "result": "failure", "latency_us": 1500, "duration_us": 1600, "route": "", "dst_namespace": SPACE,
    "dst_service": "", "dst_workload": "kettle", "error": "", "audited": "policy teahouse/draft", "skipped": 2,
    "pod": "kettle-5d4-0", "namespace": SPACE,
    "request_headers": [{"name": "x-tea", "value": "oolong"}], "response_headers": [],
}  # fmt: skip
