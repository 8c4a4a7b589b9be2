"""The aggregated API over HTTPS: discovery documents, and taps as streams of JSON lines."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import structlog
from weft_http.message import Refused, Request, Response, Send
from weft_http.routes import Handler, Routes
from weft_kube.api import FAILURES, KubeApi
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

    async def handle(self, request: Request) -> Response:
        """Authenticates, authorises, then streams until the client leaves or the limit is reached."""
        who = self._caller(request)
        subject = _subject(request.params)
        await authorize(self.api, who, subject)
        session = Session(subject, parse(request.query, subject.namespace), self.pods, self.connect)
        found = self.pods.of(subject)
        if not found.targets and not found.unmeshed:
            raise Fault(404, f"no running pod belongs to {subject.kind.name} {subject.name!r} in {subject.namespace}")
        log.info("tap started", user=who.user, namespace=subject.namespace, kind=subject.kind.name, name=subject.name)
        headers = {"Cache-Control": "no-store"}
        return Response(partial(self._stream, who, session), content_type="application/x-ndjson", headers=headers)

    async def _stream(self, who: Caller, session: Session, send: Send) -> None:
        try:
            with self.metrics.active.track_inprogress():
                async with asyncio.TaskGroup() as tasks:
                    running = tasks.create_task(session.run())
                    async for lines in session.lines():
                        await send(lines)
                    running.cancel()
        finally:
            self.metrics.events.inc(session.sent)
            log.info("tap ended", user=who.user, events=session.sent)

    def _caller(self, request: Request) -> Caller:
        config = self.authority.config
        if config is None:
            raise Fault(503, "tap does not know yet whom the API server's certificate is from")
        return caller(config, common_name(request.certificate), request.headers, request.headers)


def application(taps: Taps) -> Handler:
    """All of tap's HTTP."""
    routes = Routes()
    for path, document in DOCUMENTS.items():
        routes.add("GET", path, _constant(document))
    routes.add("GET", WATCH, taps.handle)
    routes.add("GET", "/healthz", _constant({"status": "ok"}))
    return _faults(routes, taps.metrics)


def _subject(place: Mapping[str, str]) -> Subject:
    try:
        kind: Kind = parse_kind(place["kind"])
    except ValueError as error:
        raise Fault(404, str(error)) from None
    if kind.name == "service":
        raise Fault(400, "a Service has no proxy: tap the workload behind it, or its clients with to=svc/NAME")
    return Subject(place["namespace"], kind, place["name"])


def _faults(handler: Handler, metrics: Metrics) -> Handler:
    """The handler, whose refusals become Status objects, counted."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except Fault as fault:
            metrics.count_refused(fault.code)
            return _json(fault.code, fault.status())
        except Refused as error:
            return _json(error.status, Fault(error.status, f"{error.text.strip()}: {request.path}").status())
        except FAILURES as error:
            log.warning("access not reviewed", reason=str(error))
            return _json(503, Fault(503, f"the API server could not say whether you may: {error}").status())

    return answered


def _constant(document: dict[str, Any]) -> Handler:
    async def handler(_: Request) -> Response:
        return _json(200, document)

    return handler


def _json(code: int, body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), code, "application/json")
