"""A Lease lets one replica work at a time, and another one go on when it is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from weft_kube.api import KubeApi
from weft_kube.lease import DURATION, Lease
from weft_testkit.fake_kube import FakeKube
from weft_testkit.wait import until

PATH = "/apis/coordination.k8s.io/v1/namespaces/weft/leases/weft-identity"


class Replica:
    """A process that contends for the lease; its clock runs by sleeping alone."""

    def __init__(self, api: KubeApi, name: str) -> None:
        self.time = 0.0
        self.working = False
        self.ended = 0.0
        self.lease = Lease(api, "weft", "weft-identity", name, clock=lambda: self.time, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Time passes for this replica."""
        self.time += seconds
        await asyncio.sleep(0)

    async def work(self) -> None:
        """What only the holder does, until it is cancelled."""
        self.working = True
        try:
            await asyncio.Event().wait()
        finally:
            self.working = False
            self.ended = self.time


@asynccontextmanager
async def replicas() -> AsyncIterator[tuple[FakeKube, Replica, Replica]]:
    """A cluster and two contenders."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        yield kube, Replica(api, "identity-a"), Replica(api, "identity-b")


def holder(kube: FakeKube) -> str:
    """Whom the Lease names."""
    return str(kube.get(PATH)["spec"]["holderIdentity"])


async def test_the_first_one_gets_the_lease() -> None:
    """The other one finds it taken."""
    async with replicas() as (kube, one, two):
        assert (await one.lease._try(), await two.lease._try()) == (True, False)
        assert (holder(kube), two.lease.held) == ("identity-a", False)


async def test_of_two_at_once_one_gets_it() -> None:
    """A conflict on creation means: the other one."""
    async with replicas() as (_, one, two):
        assert sorted(await asyncio.gather(one.lease._try(), two.lease._try())) == [False, True]


async def test_a_lease_that_is_not_renewed_ends() -> None:
    """By the waiting replica's clock, since it first saw the record so; the change is counted."""
    async with replicas() as (kube, one, two):
        await one.lease._try()
        await two.lease._try()
        two.time += DURATION - 1
        assert not await two.lease._try()
        two.time += 1
        assert await two.lease._try()
        assert (holder(kube), kube.get(PATH)["spec"]["leaseTransitions"]) == ("identity-b", 2)


async def test_a_renewed_lease_does_not_end() -> None:
    """Each renewal starts the wait anew."""
    async with replicas() as (_, one, two):
        for _ in range(10):
            assert await one.lease._try()
            assert not await two.lease._try()
            two.time += DURATION - 1


async def test_a_holder_that_cannot_renew_stops_first() -> None:
    """After two thirds of the duration without an answer it no longer works, long before another one may."""
    async with replicas() as (kube, one, _), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(one.lease.lead(one.work))
        await until(lambda: one.working)
        broken = one.time
        kube.on_request("GET", PATH, lambda _: (503, {"reason": "ServiceUnavailable"}))
        await until(lambda: not one.working)
        assert one.ended - broken < DURATION
        task.cancel()


async def test_a_cancelled_holder_gives_the_lease_back() -> None:
    """Its work ends with it, and the next one need not wait."""
    async with replicas() as (kube, one, two):
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(one.lease.lead(one.work))
            await until(lambda: one.working)
            task.cancel()
        assert (one.working, holder(kube)) == (False, "")
        assert await two.lease._try()
