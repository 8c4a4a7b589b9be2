"""Kubernetes Events: what happened to a workload's pods, where `kubectl describe` shows it."""

import asyncio
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from weft_kube.api import FAILURES, ApiError, KubeApi

from weft_injector.metrics import Metrics
from weft_injector.owners import Owners
from weft_injector.workload import Reference, pod_name

QUEUE = 1_000
REMEMBERED = 10_000
KEPT = timedelta(hours=1)
"""The API server forgets an Event after that, unless it is set otherwise."""

NAME = 230
"""Characters of an object's name that an Event's has: names have 253 at most."""

PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Between tries to write an Event."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell about a pod: `reason` in CamelCase, `message` for people."""

    namespace: str
    subject: Reference
    """The pod's controller, or the pod itself."""
    reason: str
    message: str

    @classmethod
    def about(cls, namespace: str, metadata: dict[str, Any], reason: str, message: str) -> "Note":
        """A note about the pod with this metadata."""
        pod = Reference("v1", "Pod", pod_name(metadata), metadata.get("uid", ""))
        return cls(namespace, Reference.controller_of_pod(metadata) or pod, reason, message)


class Recorder:
    """Writes notes as Events on the workload, in the background: a review never waits for them.

    The pods of one ReplicaSet or Job have one Event together, however many there are.
    """

    def __init__(
        self,
        api: KubeApi,
        owners: Owners,
        metrics: Metrics,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._owners = owners
        self._metrics = metrics
        self._now = now
        self._queue: asyncio.Queue[Note] = asyncio.Queue(QUEUE)
        self._told: dict[Note, datetime] = {}

    def tell(self, note: Note) -> None:
        """Queues a note, unless its Event is still there or too many wait."""
        now, told = self._now(), self._told.get(note)
        if note.subject.uid and told and now - told < KEPT:
            return
        try:
            self._queue.put_nowait(note)
        except asyncio.QueueFull:
            self._metrics.events.labels("dropped").inc()
            return
        self._told.pop(note, None)
        if len(self._told) >= REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[note] = now

    async def run(self) -> None:
        """Writes for ever what is told; what cannot be written is logged, and told again with the next pod."""
        while True:
            note = await self._queue.get()
            try:
                await self._insist(note)
                self._metrics.events.labels("written").inc()
            except FAILURES as error:
                self._told.pop(note, None)
                self._metrics.events.labels("failed").inc()
                structlog.get_logger().warning("event not written", reason=note.reason, error=str(error))

    async def _insist(self, note: Note) -> None:
        """Writes a note; while the API server cannot do it, again after growing pauses, and the others wait."""
        identity = mark(note)
        for pause in PAUSES_SECONDS:
            try:
                return await self._write(note, identity)
            except FAILURES as error:
                if isinstance(error, ApiError) and error.status < 429:  # it will not do it
                    raise
            await asyncio.sleep(pause)
        return await self._write(note, identity)

    async def _write(self, note: Note, identity: str) -> None:
        top = await self._owners.top(note.namespace, note.subject)
        body = event(note, top, identity, self._now())
        try:
            await self._api.create(f"/api/v1/namespaces/{note.namespace}/events", body)
        except ApiError as error:
            if error.status != 409:  # else it is there: from another replica, or from a try whose answer was lost
                raise


def mark(note: Note) -> str:
    """Tells notes apart, for every replica alike; a pod of nobody's has no uid yet, and may be another by that name."""
    if not note.subject.uid:
        return uuid.uuid4().hex[:16]
    return hashlib.blake2b(repr(note).encode(), digest_size=8).hexdigest()


def event(note: Note, subject: Reference, identity: str, now: datetime) -> dict[str, Any]:
    """A core/v1 Event about `subject`."""
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{subject.name[:NAME]}.{identity}", "namespace": note.namespace},
        "involvedObject": {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "name": subject.name,
            "namespace": note.namespace,
            "uid": subject.uid,
        },
        "type": "Normal",
        "reason": note.reason,
        "message": note.message,
        "source": {"component": "weft-injector"},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
