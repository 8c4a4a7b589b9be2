"""The admin server of a process: /live, /ready (503 with the reasons while not), /metrics."""

import asyncio
import ipaddress
import ssl as tls
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from weft_http.message import Refused, Request, Response
from weft_http.routes import Handler, Routes
from weft_http.server import MAX_BODY, serving

from weft_runtime.config import Address


class Condition(Protocol):
    """Something readiness waits for, like asyncio.Event."""

    def is_set(self) -> bool:
        """Has it come true?"""


async def serve_http(
    handler: Handler,
    listen: Address,
    stop: asyncio.Event,
    ssl: tls.SSLContext | None = None,
    max_body: int = MAX_BODY,
    *,
    on_refused: Callable[[int], object] = lambda _: None,
) -> None:
    """Serves until `stop`, then finishes what is in flight (up to 10 s). `on_refused` hears of what is no HTTP."""

    def failed(error: Exception) -> None:
        structlog.get_logger().error("request failed", listen=str(listen), exc_info=error)

    serving_it = serving(
        handler, listen.host, listen.port, ssl=ssl, max_body=max_body, on_error=failed, on_refused=on_refused
    )
    async with serving_it:
        await stop.wait()


def admin_routes(registry: CollectorRegistry, conditions: Mapping[str, Condition]) -> Routes:
    """Ready when every condition holds; the answer names those that do not. Adds the process's own metrics."""
    ProcessCollector(registry=registry)

    async def live(_: Request) -> Response:
        return Response(b"live\n")

    async def ready(_: Request) -> Response:
        missing = [name for name, condition in conditions.items() if not condition.is_set()]
        if missing:
            return Response(f"waiting for {', '.join(missing)}\n".encode(), 503)
        return Response(b"ready\n")

    async def metrics(_: Request) -> Response:
        return Response(await asyncio.to_thread(generate_latest, registry), content_type=CONTENT_TYPE_LATEST)

    routes = Routes()
    routes.add("GET", "/live", live)
    routes.add("GET", "/ready", ready)
    routes.add("GET", "/metrics", metrics)
    return routes


def from_loopback(handler: Handler) -> Handler:
    """The handler, for callers on the pod's own loopback only."""

    async def checked(request: Request) -> Response:
        if not ipaddress.ip_address(request.remote or "::").is_loopback:
            raise Refused(403, "only from the pod's own loopback: kubectl port-forward\n")
        return await handler(request)

    return checked


async def serve_admin(
    registry: CollectorRegistry, conditions: Mapping[str, Condition], listen: Address, stop: asyncio.Event
) -> None:
    """Serves the admin routes until `stop`."""
    await serve_http(admin_routes(registry, conditions), listen, stop)
