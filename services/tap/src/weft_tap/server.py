"""The aggregated API over HTTPS: discovery documents, and taps as streams of JSON lines."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from weft_kube.api import ApiError, KubeApi
from weft_kube.workloads import Kind, parse_kind

from weft_tap.access import authorize
from weft_tap.authority import Authority
from weft_tap.callers import Caller, caller, common_name
from weft_tap.discovery import DOCUMENTS
from weft_tap.faults import Fault
from weft_tap.match import parse
from weft_tap.metrics import Metrics
from weft_tap.pods import Pods
from weft_tap.session import Connect, Session
from weft_tap.subject import GROUP, VERSION, Subject

WATCH = f"/apis/{GROUP}/{VERSION}/watch/namespaces/{{namespace}}/{{kind}}/{{name}}/tap"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Taps:
    """What taps need."""

    api: KubeApi
    authority: Authority
    pods: Pods
    connect: Connect
    metrics: Metrics

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Authenticates, authorises, then streams until the client leaves or the limit is reached."""
        who = self._caller(request)
        subject = _subject(request.match_info)
        await authorize(self.api, who, subject)
        session = Session(subject, parse(request.query, subject.namespace), self.pods, self.connect)
        found = self.pods.of(subject)
        if not found.targets and not found.unmeshed:
            raise Fault(404, f"no running pod belongs to {subject.kind.name} {subject.name!r} in {subject.namespace}")
        log.info("tap started", user=who.user, namespace=subject.namespace, kind=subject.kind.name, name=subject.name)
        try:
            with self.metrics.active.track_inprogress():
                return await _stream(request, session)
        finally:
            self.metrics.events.inc(session.sent)
            log.info("tap ended", user=who.user, events=session.sent)

    def _caller(self, request: web.Request) -> Caller:
        config = self.authority.config
        if config is None:
            raise Fault(503, "tap does not know yet whom the API server's certificate is from")
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        return caller(config, common_name(certificate), request.headers, request.headers)


def application(taps: Taps) -> web.Application:
    """All of tap's HTTP."""
    app = web.Application(middlewares=[_faults(taps.metrics)])
    for path, document in DOCUMENTS.items():
        app.router.add_get(path, _constant(document))
    app.router.add_get(WATCH, taps.handle)
    app.router.add_get("/healthz", _constant({"status": "ok"}))
    return app


async def _stream(request: web.Request, session: Session) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
    await response.prepare(request)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run())
        try:
            async for lines in session.lines():
                await response.write(lines)
        except ConnectionError:
            pass  # the client has left
        running.cancel()
    return response


def _subject(place: Mapping[str, str]) -> Subject:
    try:
        kind: Kind = parse_kind(place["kind"])
    except ValueError as error:
        raise Fault(404, str(error)) from None
    if kind.name == "service":
        raise Fault(400, "a Service has no proxy: tap the workload behind it, or its clients with to=svc/NAME")
    return Subject(place["namespace"], kind, place["name"])


def _faults(metrics: Metrics) -> Any:
    """Middleware: refusals as Status objects, counted."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Fault as fault:
            metrics.refused.labels(str(fault.code)).inc()
            return _json(fault.code, fault.status())
        except web.HTTPException as error:
            return _json(error.status, Fault(error.status, f"{error.reason}: {request.path}").status())
        except ApiError as error:
            log.warning("access not reviewed", reason=str(error))
            return _json(503, Fault(503, f"the API server could not say whether you may: {error}").status())

    return middleware


def _constant(document: dict[str, Any]) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return _json(200, document)

    return handler


def _json(code: int, body: dict[str, Any]) -> web.Response:
    return web.Response(status=code, body=msgspec.json.encode(body), content_type="application/json")
