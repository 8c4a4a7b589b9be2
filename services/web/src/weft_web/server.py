"""HTTP: the public API and the dashboard's files. Faults become JSON, streams become server-sent events."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec
from weft_http.message import Refused, Request, Response, Send, Stream
from weft_http.routes import Handler, Routes
from weft_kube.api import KubeApi

from weft_web.access import Access
from weft_web.catalog import Catalog
from weft_web.faults import Fault, bad_parameter
from weft_web.guard import HEADERS, guarded
from weft_web.metrics import Metrics
from weft_web.model import Error, ErrorBody
from weft_web.openapi import document
from weft_web.shared import Shared
from weft_web.static import Static
from weft_web.stream import failure, message, pushes
from weft_web.tap import tap_lines
from weft_web.targets import JOBS
from weft_web.views import Query, Views

MAX_STREAMS = 500
MAX_OF_ONE = 50
"""Streams of one user of an exposed web."""

NO_STORE = {"Cache-Control": "no-store"}


def application(
    views: Views,
    api: KubeApi,
    static: Static,
    metrics: Metrics,
    *,
    hosts: frozenset[str] = frozenset(),
    access: Access | None = None,
) -> Handler:
    """All of web's HTTP. With `access` every question of the API is checked, else only this pod can reach it."""
    routes = Routes()
    for name, view in views.by_name.items():
        routes.add("GET", f"/api/v1/{name}", _json_of(view))
    streams = Streams(views, api, metrics, access)
    routes.add("GET", "/api/v1/stat/stream", streams.stat)
    routes.add("GET", "/api/v1/stream", streams.any_view)
    routes.add("GET", "/api/v1/tap", streams.tap)
    routes.add("GET", "/api/v1/openapi.json", _constant(msgspec.json.encode(document(views.version.version))))
    return _faults(guarded(_pages_beside(_checked(routes, access), static), hosts), metrics)


def admin(routes: Routes, catalog: Catalog, namespace: str) -> Routes:
    """Adds to the admin server what Prometheus asks for its targets."""

    async def targets(request: Request) -> Response:
        job = JOBS.get(request.params["job"])
        if job is None:
            raise Refused(404, f"known are {', '.join(JOBS)}\n")
        return _json(200, msgspec.json.encode(job(catalog.pod_store.objects.values(), namespace)))

    routes.add("GET", "/targets/{job}", targets)
    return routes


class Streams:
    """Handlers that go on until the client leaves."""

    def __init__(self, views: Views, api: KubeApi, metrics: Metrics, access: Access | None) -> None:
        self._views = views
        self._api = api
        self._metrics = metrics
        self._access = access
        self._looks = Shared(Fault)
        self._open: Counter[str] = Counter()

    async def stat(self, request: Request) -> Response:
        """Rows of `stat`."""
        return await self._view(request, "stat")

    async def any_view(self, request: Request) -> Response:
        """The view that the parameter `view` names."""
        name = request.query.get("view", "stat")
        if name not in self._views.by_name:
            raise bad_parameter("view", f"{name!r} is not known", f"known are {', '.join(self._views.by_name)}")
        return await self._view(request, name)

    async def tap(self, request: Request) -> Response:
        """Live requests."""
        if not self._views.version.tap:
            raise Fault(403, "tap_disabled", "the dashboard may not tap here", "use weft viz tap, with your own rights")
        lines = tap_lines(self._api, request.query)
        return await self._send(request, (message(line) async for line in lines))

    async def _view(self, request: Request, name: str) -> Response:
        query = {key: value for key, value in request.query.items() if key != "view"}
        events = pushes(lambda: self._look(name, query), asyncio.sleep)
        return await self._send(request, events)

    async def _look(self, name: str, query: Query) -> msgspec.Struct:
        """All who look at the same share it: an answer is the same for everybody who may have it."""
        return await self._looks.get((name, *sorted(query.items())), lambda: self._views.by_name[name](query))

    async def _allowed(self, request: Request, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The events for as long as the caller may have them: a token ends, a right is withdrawn."""
        async for data in events:
            if self._access:
                await self._access.check(request)
            yield data

    async def _send(self, request: Request, unchecked: AsyncIterator[bytes]) -> Response:
        """The first event is awaited before the headers go out, so that a refusal has its status."""
        events, user = self._allowed(request, unchecked), await self._user(request)
        if self._open.total() >= MAX_STREAMS:
            raise Fault(503, "too_many_streams", f"{MAX_STREAMS} streams are open", "close pages that nobody looks at")
        if user and self._open[user] >= MAX_OF_ONE:
            raise Fault(429, "too_many_streams", f"{user} has {MAX_OF_ONE} streams open", "close some of them")
        with self._counted(user):
            first = await anext(events, b"")

        async def stream(send: Send) -> None:
            with self._counted(user), self._metrics.streams.track_inprogress():
                await _written(send, first, events)

        return _event_stream(stream)

    async def _user(self, request: Request) -> str:
        """Who asks; empty on loopback, where all come from one address by port-forward."""
        return (await self._access.user(request.headers.get("Authorization", ""))).username if self._access else ""

    @contextmanager
    def _counted(self, user: str) -> Iterator[None]:
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            self._open += Counter()  # leaves those out that have none


async def _written(send: Send, first: bytes, events: AsyncIterator[bytes]) -> None:
    try:
        await send(first)
        async for data in events:
            await send(data)
    except Fault as fault:
        await send(failure(_body(fault)))


def _event_stream(stream: Stream) -> Response:
    return Response(stream, content_type="text/event-stream", headers=NO_STORE | {"X-Accel-Buffering": "no"})


def _json_of(view: Callable[[Query], Awaitable[msgspec.Struct]]) -> Handler:
    async def handler(request: Request) -> Response:
        return _json(200, msgspec.json.encode(await view(request.query)))

    return handler


def _constant(body: bytes) -> Handler:
    async def handler(_: Request) -> Response:
        return _json(200, body)

    return handler


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, "application/json", NO_STORE)


def _pages_beside(api: Handler, static: Static) -> Handler:
    """The API below /api/, the dashboard everywhere else."""

    async def handler(request: Request) -> Response:
        if request.path.startswith("/api/"):
            return await api(request)
        request.route = "/{path}"
        if request.method not in ("GET", "HEAD"):
            raise Refused(405)
        return await static.serve(request)

    return handler


def _checked(routes: Routes, access: Access | None) -> Handler:
    """Nobody asks the API who may not; the dashboard's files tell nothing and are for all."""

    async def handler(request: Request) -> Response:
        if access:
            await access.check(request)
        try:
            return await routes(request)
        except Refused as refusal:
            if refusal.status != 404:
                raise
            raise Fault(404, "not_found", f"there is no {request.path}", "see /api/v1/openapi.json") from None

    return handler


def _faults(handler: Handler, metrics: Metrics) -> Handler:
    """Each request counted, each fault answered, to an EventSource as its last event; strict headers for all."""

    async def answered(request: Request) -> Response:
        try:
            response = await handler(request)
        except Fault as fault:
            response = _refused(request, fault)
        except Refused as refusal:
            response = Response(refusal.text.encode(), refusal.status)
        metrics.request(request.route, response.status)
        response.headers = {**response.headers, **HEADERS}
        return response

    return answered


def _body(fault: Fault) -> bytes:
    return msgspec.json.encode(Error(ErrorBody(fault.code, fault.message, fault.hint)))


def _refused(request: Request, fault: Fault) -> Response:
    if "text/event-stream" not in request.headers.get("Accept", ""):
        return _json(fault.status, _body(fault))
    return _event_stream(lambda send: send(failure(_body(fault))))
