"""Keeps the issuer young, and ConfigMap `weft-trust-bundle` in every namespace equal to the anchor.

Work of the Lease's holder.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog
from weft_kube.api import ApiError, KubeApi
from weft_kube.names import TRUST_BUNDLE, TRUST_BUNDLE_KEY
from weft_kube.objects import Object

from weft_identity.anchors import Anchors
from weft_identity.bundle import Copies, Copy, Namespaces, lacking
from weft_identity.faults import FAILURES
from weft_identity.maker import Maker
from weft_identity.metrics import Metrics

RETRY_SECONDS = 3.0
RENEW_SECONDS = 60.0
"""The issuer's age is looked at this often."""

MANAGER = "weft-identity"

OWNER = "weft-identity"
"""The ClusterRole that owns every copy: when weft is uninstalled, the garbage collector takes them away with it."""

_OWNER_PATH = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{OWNER}"


class Publisher:
    """`changed` wakes it; it writes only where a copy is absent or differs."""

    def __init__(
        self,
        api: KubeApi,
        anchors: Anchors,
        maker: Maker,
        namespaces: Namespaces,
        copies: Copies,
        *,
        metrics: Metrics,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._anchors = anchors
        self._maker = maker
        self._namespaces = namespaces
        self._copies = copies
        self._metrics = metrics
        self._sleep = sleep
        self._log = structlog.get_logger()

    async def run(self, changed: asyncio.Event, synced: Iterable[asyncio.Event]) -> None:
        """Makes the Secrets if absent, then renews and publishes for ever; `synced`: the indexes know all there is."""
        while not await self._prepared():
            await self._sleep(RETRY_SECONDS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_prepared())
            tasks.create_task(self._keep_published(changed, synced))

    async def _keep_prepared(self) -> None:
        while True:
            await self._sleep(RENEW_SECONDS)
            await self._prepared()
            await self._note()

    async def _keep_published(self, changed: asyncio.Event, synced: Iterable[asyncio.Event]) -> None:
        for event in synced:
            await event.wait()
        while True:
            changed.clear()
            await self._note()
            if await self._publish():
                await changed.wait()
            else:
                await self._sleep(RETRY_SECONDS)

    async def _prepared(self) -> bool:
        """Is the trust here what the Secrets hold now? A new leader must not publish an older bundle again."""
        try:
            await self._maker.provide(trusted=self._anchors.trust is not None)
            await self._anchors.refresh()
        except FAILURES as error:
            self._log.warning("trust not made", reason=str(error) or type(error).__name__)
            return False
        return self._anchors.trust is not None

    async def _note(self) -> None:
        """What keeps it from being written must not keep bundles from being published."""
        try:
            await self._anchors.note()
        except FAILURES as error:
            self._log.warning("anchors in use not noted", reason=str(error) or type(error).__name__)

    async def _publish(self) -> bool:
        """One look at every namespace; false when something is left to do later."""
        if (trust := self._anchors.trust) is None:
            return False
        try:
            wanted = Copy(trust.bundle.decode(), await self._owners())
        except FAILURES as error:
            self._log.warning("bundles not looked at", reason=str(error) or type(error).__name__)
            return False
        missing = lacking(self._namespaces, self._copies, wanted)
        written = [await self._write(namespace, wanted) for namespace in missing]
        self._metrics.namespaces_lacking.set(written.count(False))
        return all(written)

    async def _owners(self) -> frozenset[str]:
        """The owner's uid, asked anew each time: the collector deletes what a former one of that name owned.

        Without the owner, or the right to see it, there is none: the bundle matters more than its end.
        """
        try:
            return frozenset([(await self._api.get(_OWNER_PATH, Object)).metadata.uid])
        except ApiError as error:
            if error.status not in (403, 404):
                raise
            self._log.warning("bundles have no owner", reason=str(error))
            return frozenset()

    async def _write(self, namespace: str, wanted: Copy) -> bool:
        try:
            await self._api.apply(
                f"/api/v1/namespaces/{namespace}/configmaps/{TRUST_BUNDLE}", _config_map(wanted), MANAGER
            )
        except FAILURES as error:
            if isinstance(error, ApiError) and (error.status == 404 or "being terminated" in str(error)):
                self._namespaces.names.discard(namespace)
                return True
            self._log.warning("bundle not published", namespace=namespace, reason=str(error) or type(error).__name__)
            return False
        self._copies.found[namespace] = wanted
        self._log.info("bundle published", namespace=namespace)
        return True


def _config_map(wanted: Copy) -> dict[str, Any]:
    owner = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": OWNER}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": TRUST_BUNDLE,
            "labels": {"app.kubernetes.io/part-of": "weft"},
            "ownerReferences": [{**owner, "uid": uid} for uid in wanted.owners],
        },
        "data": {TRUST_BUNDLE_KEY: wanted.text},
    }
