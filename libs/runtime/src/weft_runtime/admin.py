"""The admin server of a process: /live, /ready (503 with the reasons while not), /metrics."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from weft_runtime.config import Address


class Condition(Protocol):
    """Something readiness waits for, like asyncio.Event."""

    def is_set(self) -> bool:
        """Has it come true?"""


async def serve_http(app: web.Application, listen: Address, stop: asyncio.Event, ssl: object = None) -> None:
    """Serves an application until `stop`, then finishes what is in flight (up to 10 s).

    A handler whose client has gone is cancelled: streams without news would never notice.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=10, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, listen.host, listen.port, ssl_context=ssl).start()  # type: ignore[arg-type]
        await stop.wait()
    finally:
        await runner.cleanup()


def admin_app(registry: CollectorRegistry, conditions: Mapping[str, Condition]) -> web.Application:
    """Ready when every condition holds; the answer names those that do not. Adds the process's own metrics."""
    ProcessCollector(registry=registry)

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def ready(_: web.Request) -> web.Response:
        missing = [name for name, condition in conditions.items() if not condition.is_set()]
        if missing:
            return web.Response(status=503, text=f"waiting for {', '.join(missing)}\n")
        return web.Response(text="ready\n")

    async def metrics(_: web.Request) -> web.Response:
        body = await asyncio.to_thread(generate_latest, registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/live", live), web.get("/ready", ready), web.get("/metrics", metrics)])
    return app


async def serve_admin(
    registry: CollectorRegistry, conditions: Mapping[str, Condition], listen: Address, stop: asyncio.Event
) -> None:
    """Serves the admin application until `stop`."""
    await serve_http(admin_app(registry, conditions), listen, stop)
