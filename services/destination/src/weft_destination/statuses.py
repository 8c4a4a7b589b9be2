"""Writes the status of routes, profiles and policies, and Events about faulty annotations of Services: from the one
replica that holds the Lease, only what changed."""

import asyncio
import hashlib
from datetime import UTC, datetime
from typing import Any

import structlog
from weft_kube.api import ApiError, KubeApi

from weft_destination.conditions import Json
from weft_destination.model import Key
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
MESSAGE = 1024
PATIENCE_SECONDS = 300.0
"""The longest pause between writing the same status again, which somebody else writes over each time."""

FAILURES = (ApiError, OSError, TimeoutError)


class Statuses:
    """The writer."""

    def __init__(self, api: KubeApi, reports: Reports) -> None:
        self._api = api
        self._reports = reports
        self._written: dict[Subject, tuple[Json, float, float]] = {}
        """The last write of each: content without times, when it may be written again, and the pause until then."""

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
            for key, faults in self._reports.take_faulty():
                await self._warn(key, "; ".join(faults))
            await asyncio.sleep(LOOK_SECONDS)

    def _forget(self, looked: list[Subject]) -> None:
        """Writes so old that nobody fights over them any more."""
        if looked:
            old = asyncio.get_running_loop().time() - PATIENCE_SECONDS
            self._written = {subject: last for subject, last in self._written.items() if last[1] > old}

    async def _warn(self, service: Key, message: str) -> None:
        """An Event; what was told already has the same name, and is not told again."""
        namespace, name = service
        body = warning(namespace, name, message, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        log.warning("service has faulty annotations", service=f"{namespace}/{name}", faults=message)
        try:
            await self._api.create(f"/api/v1/namespaces/{namespace}/events", body)
        except FAILURES as error:
            if not (isinstance(error, ApiError) and error.status == 409):
                log.warning("event not written", service=f"{namespace}/{name}", error=str(error))

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
        return status in (404, 409, 422)


def warning(namespace: str, name: str, message: str, now: str) -> Json:
    """A Warning about a Service."""
    mark = hashlib.blake2b(message.encode(), digest_size=5).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.weft-{mark}", "namespace": namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "Service", "name": name, "namespace": namespace},
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
