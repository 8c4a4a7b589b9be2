"""The whole process: readiness, metrics, a clean end."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from weft_destination.app import serve_cluster
from weft_destination.config import Config
from weft_runtime.config import load
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import pod


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The collector of the test process goes on as it was."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@asynccontextmanager
async def running(kube: FakeKube, **more: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Destination for this cluster: the URL of its admin server and what stops it."""
    listen, admin = free_ports(2)
    settings = {
        "WEFT_LISTEN": f"127.0.0.1:{listen}",
        "WEFT_ADMIN_LISTEN": f"127.0.0.1:{admin}",
        "KUBERNETES_SERVICE_HOST": "unused",
    } | more
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_cluster(kube.cluster, load(Config, settings), stop))
        yield f"http://127.0.0.1:{admin}", stop
        stop.set()


async def read(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    """Status and text, or 0 while nobody listens."""
    try:
        async with session.get(url) as response:
            return response.status, await response.text()
    except aiohttp.ClientConnectionError:
        return 0, ""


async def eventually(session: aiohttp.ClientSession, url: str, status: int) -> str:
    """The text once the status is as wanted."""
    async with asyncio.timeout(10):
        while (answer := await read(session, url))[0] != status:  # noqa: ASYNC110 (polled from outside)
            await asyncio.sleep(0.01)
    return answer[1]


async def test_ready_when_all_lists_are_in() -> None:
    """Until then /ready names what is missing, and nobody is answered from half an index."""
    async with FakeKube() as kube, aiohttp.ClientSession() as session:
        broken: list[Any] = [(404, {"reason": "NotFound"})]
        path = "/apis/weft.dev/v1alpha1/serviceprofiles"
        kube.on_request("GET", path, lambda _: broken[0] if broken else None)
        async with running(kube) as (admin, _):
            waiting = await eventually(session, f"{admin}/ready", 503)
            broken.clear()
            assert "the list of profiles" in waiting
            assert await eventually(session, f"{admin}/ready", 200) == "ready\n"


async def test_the_cluster_s_default_is_told() -> None:
    """Where neither policy nor pod nor namespace says who may call: what the installation says, and the kubelet's
    probes."""
    one = pod("shop", "menu-1", "10.0.0.1", labels={"weft.dev/proxy-version": "0.1.0"})
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    one["spec"]["containers"] = [{"name": "app", "image": "i", "livenessProbe": probe}]
    call = {"namespace": "shop", "pod": "menu-1", "port": 8080, "method": "GET"}
    calls = [call | {"path": path, "account": "shop/cart"} for path in ("/", "/healthz")]
    async with FakeKube() as kube, aiohttp.ClientSession() as session:
        kube.put(one)
        async with running(kube, WEFT_DEFAULT_ACCESS="deny") as (admin, _):
            await eventually(session, f"{admin}/ready", 200)
            async with session.post(f"{admin}/debug/access", json={"calls": calls}) as response:
                verdicts = (await response.json())["verdicts"]

    said = [(one["enforced"]["allowed"], one["enforced"]["by"]) for one in verdicts]
    assert said == [(False, "cluster"), (True, "probe")]


async def test_metrics_tell_of_watches_and_streams() -> None:
    """Each metric that the README names is there."""
    async with FakeKube() as kube, aiohttp.ClientSession() as session, running(kube) as (admin, _):
        await eventually(session, f"{admin}/ready", 200)
        text = await eventually(session, f"{admin}/metrics", 200)
        names = {line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")}
        assert {f"weft_destination_{name}" for name in ("streams", "targets", "watch_synced")} <= names
        assert {f"weft_destination_{name}_total" for name in ("updates", "refusals", "watch_relists")} <= names


async def test_stops_before_it_is_ready() -> None:
    """SIGTERM while Kubernetes does not answer ends the process all the same."""
    async with FakeKube() as kube, aiohttp.ClientSession() as session:
        kube.on_request("GET", ".*", lambda _: (503, {"reason": "ServiceUnavailable"}))
        async with running(kube) as (admin, stop):
            await eventually(session, f"{admin}/live", 200)
            stop.set()
