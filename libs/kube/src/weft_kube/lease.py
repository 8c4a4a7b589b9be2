"""One replica among several does what only one may: a coordination.k8s.io Lease, held and renewed.

As client-go does it: clocks of other pods are never believed. A lease has ended when its record has not changed for
its duration, measured by our own monotonic clock since we first saw it so.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import msgspec

from weft_kube.api import FAILURES, ApiError, KubeApi

DURATION = 15.0
RENEW = 5.0
REQUEST_SECONDS = 4.0
DEADLINE = 2 / 3
"""A holder that could not renew for this part of the duration stops, well before another one may start."""


class _Meta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Record(msgspec.Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)


class Lease:
    """A lease by name; `holder` is this process, the pod's name for example."""

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        name: str,
        holder: str,
        *,
        on_error: Callable[[Exception], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._holder = holder
        self._on_error = on_error
        self._clock = clock
        self._sleep = sleep
        self._seen: _Spec | None = None
        self._seen_at = 0.0
        self._renewed_at: float | None = None

    @property
    def held(self) -> bool:
        """Is this process the holder, as far as it knows?"""
        return self._renewed_at is not None and self._clock() < self._renewed_at + DURATION * DEADLINE

    async def lead(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """For ever: waits for the lease, runs `work` while it is held, cancels it when the lease is lost.

        When cancelled itself it gives the lease back, so that another replica need not wait for its end.
        """
        try:
            while True:
                while not await self._try():
                    await self._sleep(RENEW)
                async with asyncio.TaskGroup() as tasks:
                    task = tasks.create_task(work())
                    while self.held:
                        await self._sleep(RENEW)
                        await self._try()
                    task.cancel()
        finally:
            await self._release()

    async def _try(self) -> bool:
        """Takes or renews the lease, if possible; a failed request leaves things as they are."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                self._renewed_at = self._clock() if await self._take() else None
        except FAILURES as error:
            self._on_error(error)
        return self.held

    async def _take(self) -> bool:
        try:
            record = await self._api.get(f"{self._collection}/{self._name}", _Record)
        except ApiError as error:
            if error.status != 404:
                raise
            return await self._write("POST", self._collection, self._next(_Spec()), "")
        if not self._free(record.spec):
            return False
        path = f"{self._collection}/{self._name}"
        return await self._write("PUT", path, self._next(record.spec), record.metadata.resource_version)

    def _free(self, spec: _Spec) -> bool:
        """Is it ours, nobody's, or its holder's no longer?"""
        if spec != self._seen:
            self._seen, self._seen_at = spec, self._clock()
        ended = self._clock() >= self._seen_at + (spec.lease_duration_seconds or DURATION)
        return spec.holder_identity in (self._holder, None, "") or ended

    def _next(self, old: _Spec) -> _Spec:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        same = old.holder_identity == self._holder
        transitions = old.lease_transitions or 0
        acquired = old.acquire_time if same else now
        return _Spec(self._holder, int(DURATION), acquired, now, transitions if same else transitions + 1)

    async def _write(self, method: str, path: str, spec: _Spec, version: str) -> bool:
        meta = {"name": self._name} | ({"resourceVersion": version} if version else {})
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
        try:
            await self._api.request(method, path, body=body)
        except ApiError as error:
            if error.status == 409:  # another replica was faster
                return False
            raise
        return True

    async def _release(self) -> None:
        """Gives the lease back, if it is ours and the API server can be reached at once."""
        if not self.held:
            return
        self._renewed_at = None
        path = f"{self._collection}/{self._name}"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                record = await self._api.get(path, _Record)
                if record.spec.holder_identity == self._holder:
                    record.spec.holder_identity = ""
                    await self._write("PUT", path, record.spec, record.metadata.resource_version)
        except FAILURES as error:
            self._on_error(error)
