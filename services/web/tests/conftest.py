"""A whole web in the process: Kubernetes and Prometheus on sockets, the dashboard's folder, a client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from weft_http.routes import Routes
from weft_kube.api import KubeApi
from weft_kube.workloads import KINDS
from weft_runtime.config import Address, load
from weft_testkit.fake_kube import FakeKube
from weft_testkit.listen import listen, served
from weft_testkit.wait import until
from weft_web.app import listeners, watches
from weft_web.catalog import Catalog
from weft_web.config import Config
from weft_web.mesh import Mesh
from weft_web.metrics import Metrics
from weft_web.model import Version
from weft_web.prometheus import Prometheus
from weft_web.server import admin
from weft_web.views import Views

SETTINGS = {
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "WEFT_EXPOSED_LISTEN": "0.0.0.0:8085",
    "WEFT_ALLOWED_HOSTS": "weft.example",
}


@dataclass
class FakePrometheus:
    """Answers a query with the series of the first part that is in it."""

    series: dict[str, list[tuple[dict[str, str], float]]] = field(default_factory=dict)
    plain: list[tuple[dict[str, str], float]] = field(default_factory=list)
    """What comes in without mutual TLS."""
    over_time: list[tuple[dict[str, str], list[float]]] = field(default_factory=list)
    """Answers to queries of a range: a value for each step."""
    asked: list[str] = field(default_factory=list)
    refused: str | None = None
    """Queries that have this part fail."""
    hung: str | None = None
    """Queries that have this part are answered when `go_on` is set."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 200
    """Above 400 every query is refused with it, by no Prometheus but what stands before one."""
    series_of_all: int = 0
    """How many series it answers every query with."""

    async def query(self, request: web.Request) -> web.Response:
        """POST /api/v1/query."""
        expression = str((await request.post())["query"])
        self.asked.append(expression)
        if self.status >= 400:
            return web.Response(status=self.status, text="no")
        if self.hung is not None and self.hung in expression:
            await self.go_on.wait()
        if self.refused is not None and self.refused in expression:
            return web.json_response({"status": "error", "errorType": "internal", "error": "out of memory"}, status=500)
        if self.series_of_all:
            labels = b'{"namespace":"shop","peer_identity":"' + b"x" * 150 + b'"}'
            series = b",".join([b'{"metric":' + labels + b',"value":[0,"1"]}'] * self.series_of_all)
            return web.Response(body=b'{"status":"success","data":{"result":[' + series + b"]}}")
        found = next((series for part, series in self.series.items() if part in expression), [])
        if 'tls!~"true' in expression:
            found = self.plain
        result = [{"metric": labels, "value": [0, str(value)]} for labels, value in found]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    async def query_range(self, request: web.Request) -> web.Response:
        """POST /api/v1/query_range."""
        form = await request.post()
        start, step = int(str(form["start"])), int(str(form["step"]))
        result = [
            {"metric": labels, "values": [[start + i * step, str(value)] for i, value in enumerate(values)]}
            for labels, values in self.over_time
        ]
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": result}})


@dataclass
class Lab:
    """What tests talk with."""

    kube: FakeKube
    prometheus: FakePrometheus
    catalog: Catalog
    asking: Prometheus
    views: Views
    session: aiohttp.ClientSession
    admin_url: str
    exposed_url: str
    """The same web, where others can reach it."""
    listens: list[Address]
    """What the two of them are told to listen on."""
    static: Path

    async def has(self, *objects: dict[str, Any]) -> None:
        """Puts objects into the cluster and waits until web knows them."""
        before = self._changes()
        for obj in objects:
            self.kube.put(obj)
        await until(lambda: self._changes() == before + len(objects))

    def _changes(self) -> int:
        others = sum(store.changes for store in self.catalog.stores.values())
        return self.catalog.pod_store.changes + self.catalog.revision_store.changes + others

    async def get(self, path: str, **query: str) -> Any:
        """The answer of the public API."""
        async with self.session.get(f"/api/v1/{path}", params=query) as response:
            return await response.json()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """Everything started and synced."""
    async with AsyncExitStack() as stack:
        kube = await stack.enter_async_context(FakeKube())
        api = await stack.enter_async_context(KubeApi(kube.cluster))
        fake = FakePrometheus()
        prometheus_app = web.Application()
        prometheus_app.router.add_post("/api/v1/query", fake.query)
        prometheus_app.router.add_post("/api/v1/query_range", fake.query_range)
        prometheus = stack.enter_context(closing(Prometheus(await listen(prometheus_app, stack))))
        catalog = Catalog(kind.name for kind in KINDS if kind.name != "pod")
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for reflector in watches(api, catalog).values():
            task = tasks.create_task(reflector.run())
            stack.callback(task.cancel)
            await reflector.state.synced.wait()
        views = Views(api, catalog, prometheus, Version("1.2.3", None, True), Mesh("weft", "cluster.local", "1.2.3"))
        config = load(Config, SETTINGS | {"WEFT_STATIC": str(tmp_path)})
        listening = listeners(config, views, api, Metrics("1.2.3"))
        base, exposed_url = [await served(handler, stack) for _, handler in listening]
        admin_url = await served(admin(Routes(), catalog, "weft"), stack)
        session = await stack.enter_async_context(aiohttp.ClientSession(base))
        listens = [address for address, _ in listening]
        stack.callback(fake.go_on.set)
        yield Lab(kube, fake, catalog, prometheus, views, session, admin_url, exposed_url, listens, tmp_path)
