"""web with many workloads: how long the public API takes, with a Kubernetes and a Prometheus of that size in process.

    uv run python tests/scale/web.py [WORKLOADS]

Prints one JSON document: seconds of each view, cold (Prometheus asked) and warm, the slowest, and memory. Prometheus
answers at once here: what is measured is web's own part, queries and decoding included. Fails above LIMIT_SECONDS.
"""

import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from weft_kube.api import Cluster, KubeApi
from weft_kube.objects import Meta, Object, Pod, PodIP, PodSpec, PodStatus
from weft_kube.workloads import KINDS
from weft_testkit.listen import listen, served
from weft_web.catalog import Catalog
from weft_web.mesh import Mesh
from weft_web.metrics import Metrics
from weft_web.model import Version
from weft_web.prometheus import Prometheus
from weft_web.server import application
from weft_web.shared import KEPT_SECONDS, LONGEST_SECONDS
from weft_web.static import Static
from weft_web.views import Views

LIMIT_SECONDS = 1.0
"""For every view of 1,000 workloads, with nothing kept from before."""

NAMESPACES = 20
NOWHERE = Cluster("http://127.0.0.1:1")
BOUNDS = ["0.001", "0.002", "0.003", "0.005", "0.0075", "0.01", "0.02", "0.03", "0.05", "0.1", "0.2", "0.5", "1.0",
          "2.0", "5.0", "10.0", "+Inf"]  # fmt: skip
VIEWS = {
    "stat, one namespace": "stat?namespace=shop-0",
    "stat, all": "stat",
    "stat, all pods": "stat?kind=pod",
    "edges, all": "edges",
    "topology, one namespace": "topology?namespace=shop-0",
    "problems, all": "problems",
    "palette": "stat?kind=namespace,deployment,statefulset,daemonset,cronjob",
}


def catalog_of(workloads: int) -> Catalog:
    """Deployments in NAMESPACES namespaces, with two meshed pods each."""
    catalog = Catalog(kind.name for kind in KINDS if kind.name != "pod")
    for number in range(NAMESPACES):
        catalog.stores["namespace"].apply(Object(Meta(name=f"shop-{number}")))
    for number in range(workloads):
        space, name = f"shop-{number % NAMESPACES}", f"web-{number}"
        catalog.stores["deployment"].apply(Object(Meta(name=name, namespace=space)))
        for index in range(2):
            catalog.pod_store.apply(_pod(space, name, index))
    return catalog


def _pod(space: str, name: str, index: int) -> Pod:
    labels = {"weft.dev/proxy-version": "0.1.0", "weft.dev/workload-kind": "deployment", "weft.dev/workload": name}
    meta = Meta(name=f"{name}-5d4-{index}", namespace=space, labels=labels | {"pod-template-hash": "5d4"})
    meta.owner_references = [_owner(f"{name}-5d4")]
    return Pod(meta, PodSpec(), PodStatus(phase="Running", pod_ips=[PodIP("10.0.0.1")]))


def _owner(name: str) -> Any:
    from weft_kube.objects import OwnerReference

    return OwnerReference("ReplicaSet", name, controller=True)


def answers(workloads: int) -> Any:
    """A handler of Prometheus' queries: the series that such a mesh has."""
    names = [(f"shop-{n % NAMESPACES}", f"web-{n}", f"web-{(n + 1) % workloads}") for n in range(workloads)]
    encoded: dict[str, bytes] = {}

    async def query(request: web.Request) -> web.Response:
        expression = str((await request.post())["query"])
        if expression not in encoded:
            encoded[expression] = _encoded(expression, names)
        return web.Response(body=encoded[expression], content_type="application/json")

    return query


def _encoded(expression: str, names: list[tuple[str, str, str]]) -> bytes:
    wanted = expression.partition('namespace="')[2].partition('"')[0]
    outer = expression.partition("by (")[2].partition(")")[0].split(", ")
    rows = [row for row in names if wanted in ("", row[0])]
    result = [{"metric": labels, "value": [0, "60"]} for row in rows for labels in _labels(outer, *row)]
    quiet = 'result="failure"' in expression or "errors" in expression or 'tls!~"' in expression or "<" in expression
    series = [] if quiet or "== 0" in expression else result
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": series}}).encode()


def _labels(outer: list[str], space: str, name: str, peer: str) -> list[dict[str, str]]:
    known = {"namespace": space, "workload_kind": "deployment", "workload": name, "dst_namespace": space}
    known |= {"dst_workload_kind": "deployment", "dst_workload": peer, "dst_service": peer, "tls": "true"}
    known |= {"peer_identity": f"spiffe://cluster.local/ns/{space}/sa/{peer}", "result": "success", "route": ""}
    pods = range(2) if "pod" in outer else range(1)
    bounds = BOUNDS if "le" in outer else [""]
    wide = [known | {"pod": f"{name}-5d4-{index}", "le": bound} for index in pods for bound in bounds]
    return [{label: one[label] for label in outer if label in one} for one in wide]


async def main(workloads: int) -> None:
    """Serves, asks, prints."""
    prometheus = web.Application()
    prometheus.router.add_post("/api/v1/query", answers(workloads))
    async with AsyncExitStack() as stack, aiohttp.ClientSession() as session, KubeApi(NOWHERE) as api:
        asked = stack.enter_context(closing(Prometheus(await listen(prometheus, stack))))
        told = Version("0.1.0", None, True)
        mesh = Mesh("weft", "cluster.local", "0.1.0")
        views = Views(api, catalog_of(workloads), asked, told, mesh)
        app = application(views, api, Static(Path(tempfile.gettempdir())), Metrics("0.1.0"))
        base = await served(app, stack)
        figures = {name: await _timed(session, f"{base}/api/v1/{path}") for name, path in VIEWS.items()}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    slowest = max(one["cold"] for one in figures.values())
    found = {"workloads": workloads, "api_slowest_s": slowest, "seconds": figures, "max_rss_mib": memory}
    print(json.dumps(found, indent=1))
    if workloads <= 1000 and slowest > LIMIT_SECONDS:
        sys.exit(f"a view takes {slowest} s: more than {LIMIT_SECONDS:g} s")


async def _timed(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    await _once(session, url)  # fills the fake's own answers
    cold = []
    for _ in range(3):
        await asyncio.sleep(KEPT_SECONDS + LONGEST_SECONDS)
        cold.append(await _once(session, url))
    return {"cold": round(statistics.median(cold), 3), "warm": round(await _once(session, url), 3)}


async def _once(session: aiohttp.ClientSession, url: str) -> float:
    started = time.monotonic()
    async with session.get(url) as response:
        body = await response.read()
        assert response.status == 200, body
    return time.monotonic() - started


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 1000))
