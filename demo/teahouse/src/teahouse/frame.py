"""What every role stands in: signals, the admin port (9900), trace headers."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from teahouse.chaos import Chaos

ADMIN_PORT = 9900
LINGER = 1.0
"""Seconds in which a pod that is told to end goes on serving: callers hear of its end no sooner than it does itself."""
TRACE_HEADERS = ("traceparent", "tracestate", "b3", "x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled")


def setting(name: str, default: str) -> str:
    """A setting from the environment."""
    return os.environ.get(name, default)


def port(default: int) -> int:
    """The role's port: PORT, or its usual one."""
    return int(setting("PORT", str(default)))


def trace_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers to pass on, so that a trace follows the call."""
    return {name: headers[name] for name in TRACE_HEADERS if name in headers}


@asynccontextmanager
async def serving(app: web.Application, at: int) -> AsyncIterator[None]:
    """An HTTP server for as long as the block; then open requests get 5 s."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, None, at).start()
        yield
    finally:
        await runner.cleanup()


def admin_app(chaos: Chaos) -> web.Application:
    """GET /healthz; GET and POST /_chaos."""

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def show(_: web.Request) -> web.Response:
        return web.json_response(chaos.faults)

    async def change(request: web.Request) -> web.Response:
        try:
            return web.json_response(chaos.change(await request.json()))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)

    app = web.Application()
    app.add_routes([web.get("/healthz", health), web.get("/_chaos", show), web.post("/_chaos", change)])
    return app


@asynccontextmanager
async def open_house(chaos: Chaos) -> AsyncIterator[asyncio.Event]:
    """The admin server and an event that SIGTERM sets, `LINGER` seconds later."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, loop.call_later, LINGER, stop.set)
    async with serving(admin_app(chaos), int(setting("ADMIN_PORT", str(ADMIN_PORT)))):
        yield stop
