"""Taps when the way to the aggregated API is broken."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession
from weft_kube.api import Cluster, KubeApi
from weft_testkit.listen import asking
from weft_web.catalog import Catalog
from weft_web.faults import Fault
from weft_web.mesh import Mesh
from weft_web.metrics import Metrics
from weft_web.model import Version
from weft_web.prometheus import Prometheus
from weft_web.server import application
from weft_web.static import Static
from weft_web.tap import tap_path
from weft_web.views import Views

ONE_LINE = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{"a":1}\n\r\n'
TAP = {"namespace": "shop", "kind": "deploy", "name": "web"}


@asynccontextmanager
async def web_before(answer: bytes) -> AsyncIterator[ClientSession]:
    """Web, whose API server sends these bytes and breaks off."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with KubeApi(Cluster(f"http://127.0.0.1:{port}")) as api:
            told = Version("1.2.3", None, True)
            mesh = Mesh("weft", "cluster.local", "1.2.3")
            views = Views(api, Catalog(()), Prometheus("http://unused"), told, mesh)
            async with asking(application(views, api, Static(Path("/nowhere")), Metrics("1.2.3"))) as client:
                yield client


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"namespace": "shop"}, "namespaces/shop/namespaces/shop/tap"),
        ({"namespace": "shop", "name": "shop"}, "namespaces/shop/namespaces/shop/tap"),
        ({"namespace": "shop", "kind": "cj", "name": "audit"}, "namespaces/shop/cronjobs/audit/tap"),
        ({"namespace": "shop", "kind": "namespace", "name": "bank"}, "'bank' is not the namespace that is tapped"),
        ({"namespace": "shop", "kind": "deploy"}, "is not given: which deployment?"),
        ({"kind": "deploy", "name": "web"}, "parameter 'namespace': is not given"),
    ],
)
def test_what_is_tapped_is_what_was_named(query: dict[str, str], expected: str) -> None:
    """Nothing else instead."""
    try:
        told = tap_path(query)[0]
    except Fault as fault:
        told = fault.message
    assert expected in told


async def test_an_unreachable_api_is_a_fault() -> None:
    """Nothing was sent yet: the answer has the status."""
    async with web_before(b"") as client, client.get("/api/v1/tap", params=TAP) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (503, "tap_unreachable")


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*"])
async def test_a_stream_that_breaks_says_so_at_its_end(accept: str) -> None:
    """What came first stays; the last event is the failure."""
    headers = {"Accept": accept}
    async with web_before(ONE_LINE) as client, client.get("/api/v1/tap", params=TAP, headers=headers) as response:
        first, last, _ = (await response.read()).split(b"\n\n")

    assert first == b'data: {"a":1}'
    assert last.startswith(b"event: failure\ndata: ")
    assert msgspec.json.decode(last.partition(b"data: ")[2])["error"]["code"] == "tap_unreachable"
