"""HTTP: the public API and the dashboard's files. Faults become JSON, streams become server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from weft_http.message import Refused, Request, Response
from weft_http.routes import Routes
from weft_kube.api import KubeApi
from weft_runtime.config import Address

from weft_web.access import Access
from weft_web.catalog import Catalog
from weft_web.faults import Fault, bad_parameter
from weft_web.guard import add_headers, guard
from weft_web.metrics import Metrics
from weft_web.model import Error, ErrorBody
from weft_web.openapi import document
from weft_web.static import Static
from weft_web.stream import failure, message, pushes
from weft_web.tap import tap_lines
from weft_web.targets import JOBS
from weft_web.views import Query, Views

MAX_STREAMS = 500


def application(
    views: Views,
    api: KubeApi,
    static: Static,
    metrics: Metrics,
    *,
    hosts: frozenset[str] = frozenset(),
    access: Access | None = None,
) -> web.Application:
    """All of web's HTTP. With `access` every question of the API is checked, else only this pod can reach it."""
    app = web.Application(middlewares=[_faults(metrics), guard(hosts), _checked(access)])
    app.on_response_prepare.append(add_headers)
    for name, view in views.by_name.items():
        app.router.add_get(f"/api/v1/{name}", _json_of(view))
    streams = Streams(views, api, metrics, access)
    app.router.add_get("/api/v1/stat/stream", streams.stat)
    app.router.add_get("/api/v1/stream", streams.any_view)
    app.router.add_get("/api/v1/tap", streams.tap)
    openapi = msgspec.json.encode(document(views.version.version))
    app.router.add_get("/api/v1/openapi.json", _constant(openapi))
    app.router.add_get("/api/{path:.*}", _unknown)
    app.router.add_get("/{path:.*}", static.serve)
    return app


async def serve(app: web.Application, listen: Address, stop: asyncio.Event) -> None:
    """Serves until `stop`, then finishes what is in flight (up to 10 s).

    A handler whose client has gone is cancelled: streams without news would never notice.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=10, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, listen.host, listen.port).start()
        await stop.wait()
    finally:
        await runner.cleanup()


def admin(routes: Routes, catalog: Catalog, namespace: str) -> Routes:
    """Adds to the admin server what Prometheus asks for its targets."""

    async def targets(request: Request) -> Response:
        job = JOBS.get(request.params["job"])
        if job is None:
            raise Refused(404, f"known are {', '.join(JOBS)}\n")
        body = msgspec.json.encode(job(catalog.pod_store.objects.values(), namespace))
        return Response(body, content_type="application/json", headers={"Cache-Control": "no-store"})

    routes.add("GET", "/targets/{job}", targets)
    return routes


class Streams:
    """Handlers that go on until the client leaves."""

    def __init__(self, views: Views, api: KubeApi, metrics: Metrics, access: Access | None) -> None:
        self._views = views
        self._api = api
        self._metrics = metrics
        self._access = access
        self._open = 0

    async def stat(self, request: web.Request) -> web.StreamResponse:
        """Rows of `stat`."""
        return await self._view(request, "stat")

    async def any_view(self, request: web.Request) -> web.StreamResponse:
        """The view that the parameter `view` names."""
        name = request.query.get("view", "stat")
        if name not in self._views.by_name:
            raise bad_parameter("view", f"{name!r} is not known", f"known are {', '.join(self._views.by_name)}")
        return await self._view(request, name)

    async def tap(self, request: web.Request) -> web.StreamResponse:
        """Live requests."""
        if not self._views.version.tap:
            raise Fault(403, "tap_disabled", "the dashboard may not tap here", "use weft viz tap, with your own rights")
        lines = tap_lines(self._api, dict(request.query))
        return await self._send(request, self._allowed(request, (message(line) async for line in lines)))

    async def _view(self, request: web.Request, name: str) -> web.StreamResponse:
        query = {key: value for key, value in request.query.items() if key != "view"}
        events = pushes(lambda: self._views.by_name[name](query), asyncio.sleep)
        return await self._send(request, self._allowed(request, events))

    async def _allowed(self, request: web.Request, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The events for as long as the caller may have them: a token ends, a right is withdrawn."""
        async for data in events:
            if self._access:
                await self._access.check(request)
            yield data

    async def _send(self, request: web.Request, events: AsyncIterator[bytes]) -> web.StreamResponse:
        """The first event is awaited before the headers go out, so that a refusal has its status."""
        if self._open >= MAX_STREAMS:
            raise Fault(503, "too_many_streams", f"{MAX_STREAMS} streams are open", "close pages that nobody looks at")
        self._open += 1
        try:
            with self._metrics.streams.track_inprogress():
                return await _written(request, await anext(events, None), events)
        finally:
            self._open -= 1


async def _written(request: web.Request, first: bytes | None, events: AsyncIterator[bytes]) -> web.StreamResponse:
    response = _event_stream()
    with suppress(ConnectionResetError):  # the client has left
        await response.prepare(request)
        try:
            if first:
                await response.write(first)
            async for data in events:
                await response.write(data)
        except Fault as fault:
            await response.write(failure(_body(fault)))
    return response


def _event_stream() -> web.StreamResponse:
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return web.StreamResponse(headers=headers)


def _json_of(view: Callable[[Query], Awaitable[msgspec.Struct]]) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return _json(200, msgspec.json.encode(await view(dict(request.query))))

    return handler


def _constant(body: bytes) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return _json(200, body)

    return handler


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(
        status=status, body=body, content_type="application/json", headers={"Cache-Control": "no-store"}
    )


async def _unknown(request: web.Request) -> web.Response:
    raise Fault(404, "not_found", f"there is no {request.path}", "see /api/v1/openapi.json")


def _faults(metrics: Metrics) -> Middleware:
    """Middleware: each request counted, each fault answered; to an EventSource as its last event."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except Fault as fault:
            response = await _refuse(request, fault)
        metrics.request(request, response.status)
        return response

    return middleware


def _checked(access: Access | None) -> Middleware:
    """Middleware: nobody asks the API who may not; the dashboard's files tell nothing and are for all."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if access and request.path.startswith("/api/"):
            await access.check(request)
        return await handler(request)

    return middleware


def _body(fault: Fault) -> bytes:
    return msgspec.json.encode(Error(ErrorBody(fault.code, fault.message, fault.hint)))


async def _refuse(request: web.Request, fault: Fault) -> web.StreamResponse:
    body = _body(fault)
    if "text/event-stream" not in request.headers.get("Accept", ""):
        return _json(fault.status, body)
    response = _event_stream()
    await response.prepare(request)
    await response.write(failure(body))
    return response
