"""Objects above a pod's controller, asked from the API server where a name alone does not tell."""

import asyncio
from typing import Any

import msgspec
import structlog
from weft_kube.api import FAILURES, KubeApi
from weft_sidecar.patch import Workload

from weft_injector.workload import Owned, Reference, workload_of

COLLECTIONS = {"ReplicaSet": "apis/apps/v1/namespaces/{}/replicasets", "Job": "apis/batch/v1/namespaces/{}/jobs"}
"""Kinds that another object may have made, and that weft may read."""

CACHED = 10_000
SECONDS = 1.0
"""A review waits no longer for an owner: the API server gives the webhook 5 s in all."""


class _Object(msgspec.Struct):
    metadata: Owned


class Owners:
    """Finds what made a pod's controller. Answers are kept: an owner does not change."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._known: dict[str, Reference] = {}

    async def workload(self, namespace: str, metadata: dict[str, Any]) -> Workload:
        """The pod's workload. Only a Job is looked up: its name does not prove that a CronJob made it."""
        controller = Reference.controller_of_pod(metadata)
        if controller is None or controller.kind != "Job":
            return workload_of(metadata)
        try:
            top = await self.top(namespace, controller)
        except FAILURES as error:
            log = structlog.get_logger()
            log.warning("owner not found", namespace=namespace, job=controller.name, error=str(error))
            return workload_of(metadata)
        return Workload(top.kind.lower(), top.name)

    async def top(self, namespace: str, controller: Reference) -> Reference:
        """The controller's own controller, or the controller itself if it has none."""
        if controller.kind not in COLLECTIONS:
            return controller
        if controller.uid not in self._known:
            path = f"/{COLLECTIONS[controller.kind].format(namespace)}/{controller.name}"
            async with asyncio.timeout(SECONDS):
                owner = await self._api.get(path, _Object)
            self._remember(controller.uid, Reference.controller_of(owner.metadata) or controller)
        return self._known[controller.uid]

    def _remember(self, uid: str, top: Reference) -> None:
        if len(self._known) >= CACHED:
            del self._known[next(iter(self._known))]
        self._known[uid] = top
