"""A serving certificate keeps itself: real TLS handshakes against a context that follows the Secret."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from weft_kube.api import KubeApi
from weft_testkit.fake_kube import FakeKube
from weft_webhook.ca_bundle import api_service, mutating_webhook
from weft_webhook.child import IssueError, settle
from weft_webhook.issue import new_pair, read_pair, settled
from weft_webhook.pair import LIFETIME, Question, Settled
from weft_webhook.serving import SETTLE_SECONDS, ServingCertificate

SECRET = "/api/v1/namespaces/weft/secrets/weft-injector-tls"
CONFIG = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/weft-injector"
HOST = "injector.weft.svc"


class Clock:
    """A clock that a test sets; sleeping is noted and takes no time."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)
        self.slept: list[float] = []

    def now(self) -> datetime:
        """The time."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Notes that somebody slept."""
        self.slept.append(seconds)


def configuration() -> dict[str, Any]:
    """The injector's webhook configuration with two webhooks, as the chart makes it."""
    webhooks = [{"name": name, "clientConfig": {"service": {"name": "injector"}}} for name in ("a.weft", "b.weft")]
    kind = "MutatingWebhookConfiguration"
    meta = {"name": "weft-injector"}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": meta, "webhooks": webhooks}


def published(kube: FakeKube) -> list[bytes]:
    """The bundles that the API server would trust."""
    return [base64.b64decode(webhook["clientConfig"]["caBundle"]) for webhook in kube.get(CONFIG)["webhooks"]]


def stored(kube: FakeKube) -> dict[str, bytes]:
    """The Secret's data."""
    return {name: base64.b64decode(value) for name, value in kube.get(SECRET)["data"].items()}


async def handshake(context: ssl.SSLContext, trusted: bytes) -> bytes | None:
    """Serves and dials once, as the API server does: the leaf's DER when it verifies."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    client = ssl.create_default_context(cadata=trusted.decode())
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=HOST)
        leaf: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return leaf


Make = Callable[[], ServingCertificate]


async def here(question: Question) -> Settled:
    """Settled in this process, which is faster."""
    return settled(question)


@asynccontextmanager
async def replicas(clock: Clock) -> AsyncIterator[tuple[FakeKube, Make]]:
    """A cluster with the configuration, and a maker of replicas."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        kube.put(configuration())
        bundles = [mutating_webhook("weft-injector")]
        more = {"now": clock.now, "sleep": clock.sleep, "settle": here}
        yield kube, lambda: ServingCertificate(api, "injector", bundles, **more)


async def test_the_first_check_creates_publishes_and_serves() -> None:
    """Nothing is there at first; after one check a client that trusts the bundle gets through."""
    async with replicas(Clock()) as (kube, make):
        serving = make()
        assert not serving.ready.is_set()
        await serving.check()
        assert serving.ready.is_set()
        assert set(published(kube)) == {stored(kube)["ca.crt"]}
        assert await handshake(serving.context, published(kube)[0])


async def test_replicas_share_one_pair() -> None:
    """The second one uses what the first one made."""
    async with replicas(Clock()) as (kube, make):
        first, second = make(), make()
        await asyncio.gather(first.check(), second.check())
        trusted = stored(kube)["ca.crt"]
        assert await handshake(first.context, trusted) == await handshake(second.context, trusted)


async def test_a_renewal_is_served_without_a_restart() -> None:
    """At two thirds of its life the same context serves another leaf; the bundle trusts both, the old CA too."""
    clock = Clock()
    clock.time -= LIFETIME * 2 / 3
    async with replicas(clock) as (kube, make):
        serving = make()
        await serving.check()
        old = stored(kube)["ca.crt"]
        before = await handshake(serving.context, old)
        clock.time += LIFETIME * 2 / 3
        await serving.check()
        after = await handshake(serving.context, published(kube)[0])
        assert after != before
        assert published(kube)[0].endswith(old)
        assert clock.slept == [SETTLE_SECONDS]


@pytest.mark.parametrize("seconds", [-40, 40])
async def test_replicas_whose_clocks_differ_keep_one_pair(seconds: int) -> None:
    """What the one made the other does not make anew, though to it that comes from the future."""
    clock = Clock()
    async with replicas(clock) as (kube, make):
        await make().check()
        made = stored(kube)
        clock.time += timedelta(seconds=seconds)
        await make().check()
        assert stored(kube) == made


async def test_a_bundle_is_put_back() -> None:
    """Whoever overwrites the configuration without its bundle gets it back at the next check."""
    async with replicas(Clock()) as (kube, make):
        serving = make()
        await serving.check()
        kube.put(configuration())
        await serving.check()
        assert set(published(kube)) == {stored(kube)["ca.crt"]}


async def test_a_sound_state_is_left_alone() -> None:
    """A check that finds all in order writes nothing."""
    async with replicas(Clock()) as (kube, make):
        serving = make()
        await serving.check()
        writes = len(kube.writes())
        await serving.check()
        assert len(kube.writes()) == writes


async def test_a_broken_secret_is_replaced() -> None:
    """Foreign or damaged data gives way to a new pair."""
    async with replicas(Clock()) as (kube, make):
        meta = {"name": "weft-injector-tls", "namespace": "weft"}
        kube.put({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"tls.crt": "aGVsbG8="}})
        serving = make()
        await serving.check()
        assert await handshake(serving.context, published(kube)[0])


async def test_an_expired_certificate_is_repaired_without_a_restart() -> None:
    """Put into the Secret by a backup, or after a long sleep: the next check makes and serves another one."""
    clock = Clock()
    async with replicas(clock) as (kube, make):
        serving = make()
        await serving.check()
        expired = new_pair("injector", [HOST], clock.time - LIFETIME - timedelta(days=1)).data()
        encoded = {name: base64.b64encode(value).decode() for name, value in expired.items()}
        kube.put(kube.get(SECRET) | {"apiVersion": "v1", "kind": "Secret", "data": encoded})
        await serving.check()
        assert stored(kube)["tls.crt"] != expired["tls.crt"]
        assert await handshake(serving.context, published(kube)[0])
        assert serving.expiry > clock.time.timestamp()


async def test_a_pair_from_outside_is_trusted_beside_the_one_that_is_still_served() -> None:
    """Nobody is refused meanwhile, by this replica or one that looks half a minute later; then the old CA goes."""
    clock = Clock()
    async with replicas(clock) as (kube, make):
        serving, late = make(), make()
        await serving.check()
        await late.check()
        old, outside = stored(kube), new_pair("injector", [HOST], clock.time)
        encoded = {name: base64.b64encode(value).decode() for name, value in outside.data().items()}
        kube.put(kube.get(SECRET) | {"apiVersion": "v1", "kind": "Secret", "data": encoded})
        both = outside.authorities + old["ca.crt"]
        seen = []
        for each in (serving, late, serving, late, serving, late):
            await each.check()
            seen.append(published(kube)[0])
        assert await handshake(serving.context, outside.authorities)
        assert seen == [both, both, both, both, outside.authorities, outside.authorities]


async def test_a_process_of_its_own_says_the_same() -> None:
    """A new pair when there is none, the Secret's own while it is sound, another one for what is broken."""
    now = datetime.now(UTC)
    new = await settle(Question("tap", ["tap.weft.svc"], now, None))
    kept = await settle(Question("tap", ["tap.weft.svc"], now, new.pair.data()))
    replaced = await settle(Question("tap", ["tap.weft.svc"], now, {"tls.crt": b"hello"}))
    assert (new.made, kept, replaced.made, replaced.fault) == (
        True,
        Settled(new.pair, False),
        True,
        "'ca.crt' is missing",
    )
    assert read_pair(new.pair.data()) == new.pair


async def test_a_process_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told and tried again like any other."""
    monkeypatch.setattr("weft_webhook.child.sys.executable", "/bin/false")
    with pytest.raises(IssueError, match="ended with 1"):
        await settle(Question("tap", [], datetime.now(UTC), None))


async def test_an_api_service_has_one_bundle() -> None:
    """tap's: in its spec. One that is not there yet is no error."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        tap = api_service("v1alpha1.tap.weft.dev")
        assert not await tap.publish(api, b"pem")
        meta = {"name": "v1alpha1.tap.weft.dev"}
        kube.put({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": meta, "spec": {}})
        assert await tap.publish(api, b"pem")
        assert kube.get(tap.path)["spec"] == {"caBundle": "cGVt"}


async def test_failures_are_tried_again() -> None:
    """An API server that refuses at first delays readiness, and nothing else."""
    clock = Clock()
    async with replicas(clock) as (kube, make):
        refusals = iter([(503, {"reason": "ServiceUnavailable", "message": "later"})])
        kube.on_request("GET", SECRET, lambda _: next(refusals, None))
        serving = make()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(serving.run())
            await serving.ready.wait()
            task.cancel()
        assert clock.slept[0] == 1.0


def test_a_pair_is_due_at_two_thirds_of_its_life() -> None:
    """Not before; and when the clock was set back behind its start."""
    now = datetime(2026, 5, 1, tzinfo=UTC)
    pair = read_pair(new_pair("tap", ["tap.weft.svc"], now).data())
    days = [timedelta(days=days) for days in (0, 19, 21, -1)]
    assert [pair.due(now + day) for day in days] == [False, False, True, True]


def test_a_pair_of_a_replica_whose_clock_is_early_is_kept() -> None:
    """Two replicas would else renew each other's certificates for ever; ten minutes are allowed."""
    now = datetime(2026, 5, 1, tzinfo=UTC)
    pair = read_pair(new_pair("tap", ["tap.weft.svc"], now).data())
    assert [pair.due(now - timedelta(minutes=minutes)) for minutes in (1, 9, 11)] == [False, False, True]
