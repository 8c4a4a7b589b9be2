"""The admin server: alive, ready, measured."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, Counter
from weft_runtime.admin import admin_routes
from weft_testkit.listen import asking


@pytest.fixture
def synced() -> asyncio.Event:
    """What readiness waits for."""
    return asyncio.Event()


@pytest.fixture
async def client(synced: asyncio.Event) -> AsyncIterator[ClientSession]:
    """A client of an admin server with one metric and one condition."""
    registry = CollectorRegistry()
    Counter("weft_x_total", "X.", registry=registry).inc()
    async with asking(admin_routes(registry, {"the list of pods": synced})) as result:
        yield result


async def test_not_ready_says_why(client: ClientSession) -> None:
    """503 names every condition that does not hold."""
    async with client.get("/ready") as response:
        assert (response.status, await response.text()) == (503, "waiting for the list of pods\n")


async def test_ready_when_all_conditions_hold(client: ClientSession, synced: asyncio.Event) -> None:
    """200 from then on."""
    synced.set()
    async with client.get("/ready") as response:
        assert response.status == 200


async def test_metrics_are_of_the_registry_given(client: ClientSession) -> None:
    """Nothing of the process-wide registry is there."""
    async with client.get("/metrics") as response:
        assert "weft_x_total 1.0" in await response.text()
