"""Writes the status of routes, profiles and policies, and Events about faulty annotations of Services: from the one
replica that holds the Lease, only what changed."""

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import Any

import structlog
from weft_kube.api import FAILURES, ApiError, KubeApi

from weft_destination.conditions import Json
from weft_destination.model import Service
from weft_destination.reports import Reports, Seen, Subject

log = structlog.get_logger()

COLLECTIONS = {
    "HTTPRoute": ("gateway.networking.k8s.io/v1", "httproutes"),
    "GRPCRoute": ("gateway.networking.k8s.io/v1", "grpcroutes"),
    "ServiceProfile": ("weft.dev/v1alpha1", "serviceprofiles"),
    "AccessPolicy": ("weft.dev/v1alpha1", "accesspolicies"),
}
LOOK_SECONDS = 0.2
"""How often is looked for what may be out of date."""

AT_ONCE = 50
"""Statuses looked at before other work has its turn."""

FAILED_SECONDS = 5.0
RETELL_SECONDS = 600.0
"""How often a fault that stays is told again: the API server forgets an Event after an hour."""

MESSAGE = 1024
PATIENCE_SECONDS = 300.0
"""The longest pause between writing the same status again, which somebody else writes over each time."""

REFUSED = (404, 409, 422)
"""Answers that are about one object: others can be written all the same."""


class Statuses:
    """The writer."""

    def __init__(self, api: KubeApi, reports: Reports) -> None:
        self._api = api
        self._reports = reports
        self._written: dict[Subject, tuple[Json, float, float]] = {}
        """The last write of each: content without times, when it may be written again, and the pause until then."""
        self._retold = float("-inf")
        """When everything was told last, by the loop's clock."""

    async def run(self) -> None:
        """For ever; first looks at everything."""
        self._reports.all()
        while True:
            stale = self._reports.take_stale()
            for number, subject in enumerate(stale):
                if not await self._look(subject):
                    for left in stale[number:]:
                        self._reports.later(left)
                    await asyncio.sleep(FAILED_SECONDS)
                    break
                if number % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)
            self._forget(stale)
            await asyncio.sleep(LOOK_SECONDS if await self._warn() else FAILED_SECONDS)

    def _forget(self, looked: list[Subject]) -> None:
        """Writes so old that nobody fights over them any more."""
        if looked:
            old = asyncio.get_running_loop().time() - PATIENCE_SECONDS
            self._written = {subject: last for subject, last in self._written.items() if last[1] > old}

    async def _warn(self) -> bool:
        """Tells of Services with faults; False when the API server cannot be written to."""
        now = asyncio.get_running_loop().time()
        if now >= self._retold + RETELL_SECONDS:
            self._reports.all_faulty()
            self._retold = now
        faulty = self._reports.take_faulty()
        for number, service in enumerate(faulty):
            if not await self._tell(service):
                for left in faulty[number:]:
                    self._reports.tell_later(left)
                return False
        return True

    async def _tell(self, service: Service) -> bool:
        """An Event; what is told already has the same name, so it is not told twice. False: to be tried again."""
        body = warning(service, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        name, faults = "/".join(service.key), body["message"]
        try:
            await self._api.create(f"/api/v1/namespaces/{service.key[0]}/events", body)
        except FAILURES as error:
            status = error.status if isinstance(error, ApiError) else 0
            if status != 409:
                log.warning("event not written", service=name, error=str(error), faults=faults)
            return status in (403, *REFUSED)  # 403: in a namespace that is being deleted
        log.warning("service has faulty annotations", service=name, faults=faults)
        return True

    async def _look(self, subject: Subject) -> bool:
        """Writes a status, if it is out of date; False when the API server cannot be written to."""
        found = self._reports.wanted(subject, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        if found is None:
            return True
        if self._too_early(subject, found[1]):
            self._reports.later(subject)
            return True
        try:
            await self._write(subject, *found)
        except FAILURES as error:
            return self._failed(subject, error)
        return True

    def _too_early(self, subject: Subject, status: Json) -> bool:
        """Was the same written before, and written over since? Then each next time waits twice as long."""
        now, content = asyncio.get_running_loop().time(), timeless(status)
        before, due, pause = self._written.get(subject, (None, now, 0.0))
        if before != content:
            due, pause = now, 0.0
        if now < due:
            return True
        pause = min(PATIENCE_SECONDS, max(1.0, 2 * pause))
        self._written[subject] = (content, now + pause, pause)
        return False

    async def _write(self, subject: Subject, seen: Seen, status: Json) -> None:
        """To the version that was seen: a list of others' entries must not be set back."""
        group, plural = COLLECTIONS[subject.kind]
        namespace, name = subject.key
        body = {"metadata": {"resourceVersion": seen.version}, "status": status}
        await self._api.merge(f"/apis/{group}/namespaces/{namespace}/{plural}/{name}/status", body)

    def _failed(self, subject: Subject, error: Exception) -> bool:
        status = error.status if isinstance(error, ApiError) else 0
        if status == 409:  # the watch brings the newer version
            self._written.pop(subject, None)
            self._reports.later(subject)
        elif status != 404:
            log.warning("status not written", kind=subject.kind, object="/".join(subject.key), error=str(error))
        return status in REFUSED


def warning(service: Service, now: str) -> Json:
    """A Warning about a Service. Its uid is what `kubectl describe` looks for."""
    (namespace, name), message = service.key, "; ".join(service.faults)
    mark = hashlib.blake2b(f"{service.uid} {message}".encode(), digest_size=5).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.weft-{mark}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Service",
            "name": name,
            "namespace": namespace,
            "uid": service.uid,
        },
        "type": "Warning",
        "reason": "FaultyAnnotation",
        "message": message[:MESSAGE],
        "source": {"component": "weft-destination"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def timeless(value: Any) -> Any:
    """A status without the times of its transitions."""
    if isinstance(value, list):
        return [timeless(one) for one in value]
    if isinstance(value, dict):
        return {name: timeless(one) for name, one in value.items() if name != "lastTransitionTime"}
    return value
