"""Kubernetes Events: what happened to a workload's pods, where `kubectl describe` shows it."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from weft_kube.api import ApiError, KubeApi

from weft_injector.metrics import Metrics
from weft_injector.owners import Owners
from weft_injector.workload import Reference, pod_name

QUEUE = 1_000
REMEMBERED = 10_000


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
        return cls(namespace, Reference.controller_of(metadata) or pod, reason, message)


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
        self._told: dict[Note, None] = {}

    def tell(self, note: Note) -> None:
        """Queues a note, unless it was told before or too many wait."""
        if note.subject.uid and note in self._told:  # a pod of nobody's has no uid yet, and may be another by that name
            return
        try:
            self._queue.put_nowait(note)
        except asyncio.QueueFull:
            self._metrics.events.labels("dropped").inc()
            return
        if len(self._told) >= REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[note] = None

    async def run(self) -> None:
        """Writes for ever what is told; an Event that cannot be written is only logged."""
        while True:
            note = await self._queue.get()
            try:
                await self._write(note)
                self._metrics.events.labels("written").inc()
            except (ApiError, OSError, TimeoutError) as error:
                self._metrics.events.labels("failed").inc()
                structlog.get_logger().warning("event not written", reason=note.reason, error=str(error))

    async def _write(self, note: Note) -> None:
        top = await self._owners.top(note.namespace, note.subject)
        await self._api.create(f"/api/v1/namespaces/{note.namespace}/events", event(note, top, self._now()))


def event(note: Note, subject: Reference, now: datetime) -> dict[str, Any]:
    """A core/v1 Event about `subject`."""
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{subject.name}.{uuid.uuid4().hex[:16]}", "namespace": note.namespace},
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
