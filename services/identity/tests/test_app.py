"""Identity as a whole: a fake Kubernetes, a real gRPC channel."""

import asyncio
import base64
import json
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import grpc
import pytest
import weft_identity.anchors
import weft_identity.server
import weft_identity.takeover
import weft_identity.tokens
from cryptography import x509
from grpc import StatusCode
from weft_api.identity.v1.identity_pb2 import CertifyRequest, CertifyResponse
from weft_api.identity.v1.identity_pb2_grpc import IdentityStub
from weft_identity.anchors import POLL_SECONDS, RETRY_SECONDS
from weft_identity.app import serve_with
from weft_identity.config import Config
from weft_identity.issuer import make_anchor, make_issuer
from weft_identity.limits import BURST, CONCURRENT, NEWCOMERS, PER_SECOND
from weft_identity.rotation import FRESH_SECONDS
from weft_kube.api import KubeApi
from weft_pki.bundle import bundle_hash, parse_certificates
from weft_pki.csr import new_request
from weft_pki.issue import CLOCK_SKEW, der
from weft_pki.keys import new_key
from weft_pki.verify import verify_workload
from weft_runtime.config import Address
from weft_testkit.fake_kube import FakeKube, Recorded
from weft_testkit.objects import namespace
from weft_testkit.store import RefusedError
from weft_testkit.wait import until

KEY = new_key()
NOW = datetime.now(UTC)
TOKEN = "shop-token"
SHOP = "spiffe://cluster.local/ns/teahouse/sa/shop"
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "weft-identity", "uid": "role-1"},
}
SECRETS = "/api/v1/namespaces/weft/secrets"


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def csr_of(*names: str) -> bytes:
    """A request for these names."""
    return new_request(KEY, names)


USER = {"username": "system:serviceaccount:teahouse:shop"}
REVIEWS: dict[str, dict[str, Any]] = {
    "expired": {"error": "[invalid bearer token, service account token has expired]"},
    "of-a-deleted-pod": {"error": '[invalid bearer token, pod "shop-1" not found]'},
    "of-no-pod": {"authenticated": True, "user": USER, "audiences": ["identity.weft.dev"]},
    "of-another-audience": {"authenticated": True, "user": USER, "audiences": ["https://kubernetes.default.svc"]},
}
"""What an API server says of tokens that are not in order."""


def token_review(request: Recorded) -> dict[str, Any]:
    """Knows one token, and gives it to the audience that was asked for."""
    if found := REVIEWS.get(request.body["spec"]["token"]):
        return {"status": found}
    if request.body["spec"]["token"] != TOKEN:
        return {"status": {"error": "invalid bearer token"}}
    extra = {"authentication.kubernetes.io/pod-uid": ["uid-shop"]}
    user = {"username": "system:serviceaccount:teahouse:shop", "extra": extra}
    return {"status": {"authenticated": True, "user": user, "audiences": request.body["spec"]["audiences"]}}


def secret(name: str, data: dict[str, bytes]) -> dict[str, Any]:
    """A Secret of namespace weft."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    meta = {"name": name, "namespace": "weft"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded}


def config() -> Config:
    """Settings on ports of this test's own."""
    return Config(
        listen=Address("127.0.0.1", free_port()),
        admin_listen=Address("127.0.0.1", free_port()),
        namespace="weft",
        trust_domain="cluster.local",
        issuance_lifetime=timedelta(hours=24),
        anchor_lifetime=timedelta(days=365),
        issuer_lifetime=timedelta(days=30),
        holder="identity-1",
        log_level=20,
        kubernetes_host="",
        kubernetes_port="",
    )


class Running:
    """A running identity: its cluster and a channel to it."""

    def __init__(self, kube: FakeKube, channel: grpc.aio.Channel, settings: Config) -> None:
        self.kube = kube
        self.stub = IdentityStub(channel)
        self.raw = channel.stream_unary("/weft.identity.v1.Identity/Certify")
        self.settings = settings

    async def certify(
        self, token: str = TOKEN, csr: bytes | None = None, bundle: bytes = b"", **client: str
    ) -> CertifyResponse:
        """Asks for a certificate; `client`: what this pod's proxy says of the caller, `id` or `address`."""
        request = CertifyRequest(token=token, csr=new_request(KEY) if csr is None else csr, bundle_sha256=bundle)
        metadata = tuple((f"weft-client-{name}", value) for name, value in client.items())
        response: CertifyResponse = await self.stub.Certify(request, metadata=metadata, wait_for_ready=True)  # type: ignore[misc]
        return response

    def owners(self, name: str) -> list[str]:
        """Uids of the bundle's owners in a namespace."""
        config_map = self.kube.get(f"/api/v1/namespaces/{name}/configmaps/weft-trust-bundle")
        return [owner["uid"] for owner in config_map["metadata"].get("ownerReferences", [])]

    def bundle(self, name: str) -> bytes:
        """The trust bundle in a namespace; empty while there is none."""
        try:
            config_map = self.kube.get(f"/api/v1/namespaces/{name}/configmaps/weft-trust-bundle")
        except RefusedError:
            return b""
        return str(config_map["data"]["ca.crt"]).encode()

    async def metrics(self) -> str:
        """What Prometheus would scrape."""
        async with aiohttp.request("GET", f"http://{self.settings.admin_listen}/metrics") as response:
            return await response.text()

    async def refusals(self) -> dict[str, float]:
        """Requests refused so far, by reason."""
        found = re.findall(r'^weft_identity_refused_total{reason="(\w+)"} (\S+)$', await self.metrics(), re.MULTILINE)
        return {reason: float(count) for reason, count in found}

    async def ready(self) -> bool:
        """Does readiness hold?"""
        async with aiohttp.request("GET", f"http://{self.settings.admin_listen}/ready") as response:
            return response.status == 200


@asynccontextmanager
async def identity(prepare: Callable[[FakeKube], object] = lambda _: None) -> AsyncIterator[Running]:
    """A cluster with namespaces `weft` and `teahouse`, and identity in it, once it has published."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        kube.put(ROLE)
        kube.put(namespace("weft"))
        kube.put(namespace("teahouse"))
        kube.on_request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", token_review)
        prepare(kube)
        stop, settings = asyncio.Event(), config()
        async with asyncio.TaskGroup() as tasks, grpc.aio.insecure_channel(str(settings.listen)) as channel:
            tasks.create_task(serve_with(settings, api, stop))
            running = Running(kube, channel, settings)
            await until(lambda: running.bundle("teahouse") and running.bundle("weft"))
            yield running
            stop.set()


async def test_the_first_start_makes_anchor_issuer_and_bundles() -> None:
    """Both Secrets, the bundle in every namespace, and certificates that verify against it."""
    async with identity() as running:
        response = await running.certify()
        leaf, *chain = (x509.load_der_x509_certificate(der) for der in (response.leaf, *response.chain))
        anchors = parse_certificates(running.bundle("teahouse"))
        assert verify_workload(leaf, chain, anchors, datetime.now(UTC)) == SHOP
        assert response.not_after == int(leaf.not_valid_after_utc.timestamp())
        assert running.bundle("weft") == running.bundle("teahouse")
        assert sorted(running.kube.get(f"{SECRETS}/weft-trust-anchor")["data"]) == ["ca.crt", "ca.key"]
        assert await running.ready()


async def test_secrets_that_exist_are_kept() -> None:
    """An upgrade, or a second replica, uses what is there."""
    anchor = make_anchor("cluster.local", datetime.now(UTC))
    issuer = make_issuer(anchor, "cluster.local", datetime.now(UTC))

    def prepare(kube: FakeKube) -> None:
        kube.put(secret("weft-trust-anchor", anchor))
        kube.put(secret("weft-issuer", issuer))

    async with identity(prepare) as running:
        assert running.bundle("teahouse") == anchor["ca.crt"]
        assert not [write for write in running.kube.writes() if write.path == SECRETS]


async def test_a_new_namespace_gets_the_bundle() -> None:
    """At once, by the watch."""
    async with identity() as running:
        running.kube.put(namespace("fresh"))
        await until(lambda: running.bundle("fresh"))
        assert running.bundle("fresh") == running.bundle("weft")


async def test_a_damaged_bundle_is_repaired() -> None:
    """Edited, then deleted."""
    async with identity() as running:
        path, sound = "/api/v1/namespaces/teahouse/configmaps/weft-trust-bundle", running.bundle("teahouse")
        config_map = running.kube.get(path)
        running.kube.put({**config_map, "apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": "mine"}})
        await until(lambda: running.bundle("teahouse") == sound)
        running.kube.delete({**config_map, "apiVersion": "v1", "kind": "ConfigMap"})
        await until(lambda: running.bundle("teahouse") == sound)


async def test_bundles_go_when_weft_goes() -> None:
    """Their owner is identity's ClusterRole, so that the garbage collector takes them; copies without it get it."""

    def prepare(kube: FakeKube) -> None:
        meta = {"name": "weft-trust-bundle", "namespace": "teahouse"}
        kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"ca.crt": "old"}})

    async with identity(prepare) as running:
        await until(lambda: running.owners("teahouse") == ["role-1"])
        assert running.owners("weft") == ["role-1"]


async def test_bundles_follow_a_new_role() -> None:
    """The collector deletes what belongs to the former one: the next write names the one that is there."""
    async with identity() as running:
        running.kube.put({**ROLE, "metadata": {"name": "weft-identity", "uid": "role-2"}})
        running.kube.put(namespace("fresh"))
        await until(lambda: running.bundle("fresh") and running.owners("weft") == ["role-2"])
        assert running.owners("fresh") == ["role-2"]


async def test_without_its_owner_the_bundle_is_published_all_the_same() -> None:
    """A role that may not be read keeps nobody from the mesh."""
    async with identity(lambda kube: kube.delete(ROLE)) as running:
        assert running.owners("teahouse") == []


async def test_what_is_in_use_is_written_down() -> None:
    """By the Lease's holder: the anchor that signs, for how long, before anybody could take it away."""
    async with identity() as running:

        def noted() -> list[dict[str, Any]]:
            annotations = running.kube.get(f"{SECRETS}/weft-issuer")["metadata"].get("annotations") or {}
            found: list[dict[str, Any]] = json.loads(annotations.get("weft.dev/anchors-in-use", "[]"))
            return found

        await until(noted)
        assert noted() == [{"certificate": running.bundle("weft").decode(), "lifetime": 86_400}]


async def test_a_changed_issuer_is_used() -> None:
    """A new one under the same anchor signs from then on."""
    async with identity() as running:
        data = running.kube.get(f"{SECRETS}/weft-trust-anchor")["data"]
        anchor = {name: base64.b64decode(value) for name, value in data.items()}
        fresh = make_issuer(anchor, "cluster.local", datetime.now(UTC))
        running.kube.put(secret("weft-issuer", fresh))
        wanted = der(parse_certificates(fresh["tls.crt"])[0])
        async with asyncio.timeout(10):
            while list((await running.certify()).chain) != [wanted]:
                pass


async def test_a_broken_issuer_is_refused_and_the_old_one_kept() -> None:
    """Loudly: a metric counts it; certificates go on being signed."""
    async with identity() as running:
        before = (await running.certify()).chain
        running.kube.put(secret("weft-issuer", {"tls.crt": b"garbage", "tls.key": b"garbage"}))
        async with asyncio.timeout(10):
            while "weft_identity_issuer_refused_total 1.0" not in await running.metrics():
                pass
        assert (await running.certify()).chain == before


async def test_a_change_that_no_watch_told_of_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both Secrets are read every 30 s all the same."""
    monkeypatch.setattr(weft_identity.anchors, "POLL_SECONDS", 0.05)
    async with identity() as running:
        running.kube.freeze_watches()
        data = running.kube.get(f"{SECRETS}/weft-trust-anchor")["data"]
        fresh = make_issuer({name: base64.b64decode(text) for name, text in data.items()}, "cluster.local", NOW)
        running.kube.put(secret("weft-issuer", fresh))
        wanted = der(parse_certificates(fresh["tls.crt"])[0])
        async with asyncio.timeout(10):
            while list((await running.certify()).chain) != [wanted]:
                pass


def test_a_changed_secret_is_taken_over_within_a_minute() -> None:
    """Also when no watch tells of it, a read fails once, and late clocks must believe its chain."""
    assert POLL_SECONDS + RETRY_SECONDS <= 60
    assert max(POLL_SECONDS, CLOCK_SKEW.total_seconds()) + RETRY_SECONDS <= 60
    assert POLL_SECONDS < FRESH_SECONDS


async def test_an_issuer_that_waits_signs_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only at the next look in turn: one that is dated from now waits until late clocks believe it."""
    monkeypatch.setattr(weft_identity.takeover, "CLOCK_SKEW", timedelta(seconds=2))
    async with identity() as running:
        data = running.kube.get(f"{SECRETS}/weft-trust-anchor")["data"]
        anchor = {name: base64.b64decode(text) for name, text in data.items()}
        fresh = make_issuer(anchor, "cluster.local", datetime.now(UTC) + CLOCK_SKEW, timedelta(days=9))
        running.kube.put(secret("weft-issuer", fresh))
        async with asyncio.timeout(10):
            while f"issuer_lifetime_seconds {9 * 86_400 + CLOCK_SKEW.total_seconds()}" not in await running.metrics():
                pass
        assert list((await running.certify()).chain) == [der(parse_certificates(fresh["tls.crt"])[0])]


async def test_a_refused_secret_is_told_by_an_event_and_a_gauge_and_forgotten_when_it_is_sound_again() -> None:
    """One Event for each broken content, however often it is read."""
    async with identity() as running:
        sound = running.kube.get(f"{SECRETS}/weft-issuer")
        running.kube.put(secret("weft-issuer", {"tls.crt": b"garbage", "tls.key": b"garbage"}))
        async with asyncio.timeout(10):
            while "weft_identity_issuer_unsound 1.0" not in await running.metrics():
                pass
        await until(lambda: running.kube.store.collection("/api/v1/events").objects)
        running.kube.put({**sound, "apiVersion": "v1", "kind": "Secret"})
        async with asyncio.timeout(10):
            while "weft_identity_issuer_unsound 0.0" not in await running.metrics():
                pass
        (event,) = running.kube.store.collection("/api/v1/events").objects.values()
        facts = event["type"], event["reason"], event["involvedObject"]["name"]
        assert facts == ("Warning", "SecretRefused", "weft-issuer")


async def test_an_issuer_of_cert_manager_brings_its_own_bundle() -> None:
    """tls.crt, tls.key and ca.crt in one Secret, with intermediates and without another: nothing is made beside it."""
    anchor = make_anchor("cluster.local", NOW)
    issuer = make_issuer(anchor, "cluster.local", NOW) | {"ca.crt": anchor["ca.crt"]}

    async with identity(lambda kube: kube.put(secret("weft-issuer", issuer))) as running:
        assert running.bundle("teahouse") == anchor["ca.crt"]
        assert (await running.certify(bundle=bundle_hash(anchor["ca.crt"]))).leaf
        assert not [write for write in running.kube.writes() if write.path == SECRETS]


async def test_a_flood_of_one_workload_leaves_others_theirs() -> None:
    """Of a thousand at once few are under way, the rest is told to come again; another workload is served meanwhile."""
    async with identity() as running:
        running.kube.on_request("POST", ".*/tokenreviews", flood_review)
        async with asyncio.TaskGroup() as tasks:
            flood = [
                tasks.create_task(status_of(running, token_of("till", number), address=f"10.0.0.{number % 20}"))
                for number in range(1000)
            ]
            others = [
                tasks.create_task(status_of(running, token_of(f"shop-{n}", 0), address=f"10.0.1.{n}"))
                for n in range(20)
            ]
        found = Counter(task.result() for task in flood)
        assert {task.result() for task in others} == {StatusCode.OK}
        assert set(found) == {StatusCode.OK, StatusCode.RESOURCE_EXHAUSTED}
        assert found[StatusCode.OK] <= BURST + PER_SECOND * 10
        assert 'weft_identity_refused_total{reason="limit"}' in await running.metrics()


async def test_forged_tokens_take_nothing_from_the_account_that_they_name() -> None:
    """Whoever cannot show that it is the account floods at its own expense."""
    true, go_on = token_of("shop", 0), asyncio.Event()

    async def believes_one(request: Recorded) -> dict[str, Any]:
        await go_on.wait()
        forged = request.body["spec"]["token"] != true
        return {"status": {"error": "invalid bearer token"}} if forged else flood_review(request)

    async with identity() as running:
        running.kube.on_request("POST", ".*/tokenreviews", believes_one)
        async with asyncio.TaskGroup() as tasks:
            forged = [
                tasks.create_task(status_of(running, token_of("shop", number), address="10.0.0.66"))
                for number in range(1, 200)
            ]
            theirs = [tasks.create_task(status_of(running, true, address="10.0.0.1")) for _ in range(20)]
            await until(lambda: sum(task.done() for task in forged) == 199 - CONCURRENT)
            go_on.set()
        assert {task.result() for task in theirs} == {StatusCode.OK}


async def test_newcomers_together_leave_room_for_those_who_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever shows no certificate is one of a bounded number; a proxy that renews its own is not refused for that."""
    monkeypatch.setattr(weft_identity.tokens, "REVIEW_SECONDS", 60.0)
    go_on = asyncio.Event()

    async def later(request: Recorded) -> dict[str, Any]:
        await go_on.wait()
        return flood_review(request)

    async with identity() as running:
        running.kube.on_request("POST", ".*/tokenreviews", later)
        async with asyncio.TaskGroup() as tasks:
            new = [
                tasks.create_task(status_of(running, token_of(f"new-{n}", 0), address=f"10.0.{n // 200}.{n % 200}"))
                for n in range(NEWCOMERS + 100)
            ]
            await until(lambda: sum(task.done() for task in new) == 100)
            known = tasks.create_task(status_of(running, token_of("shop", 0), id=SHOP))
            go_on.set()
        assert known.result() == StatusCode.OK


def token_of(account: str, number: int) -> str:
    """A token that claims an account, as each pod of it has another."""
    claims = json.dumps({"sub": f"system:serviceaccount:teahouse:{account}", "number": number})
    return f"e30.{base64.urlsafe_b64encode(claims.encode()).rstrip(b'=').decode()}.c2ln"


def flood_review(request: Recorded) -> dict[str, Any]:
    """Believes what a token claims."""
    claims = json.loads(base64.urlsafe_b64decode(request.body["spec"]["token"].split(".")[1] + "=="))
    extra = {"authentication.kubernetes.io/pod-uid": ["uid"]}
    status = {
        "authenticated": True,
        "user": {"username": claims["sub"], "extra": extra},
        "audiences": ["identity.weft.dev"],
    }
    return {"status": status}


async def end_of(call: Awaitable[object]) -> StatusCode:
    """How a call ends."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return StatusCode.OK


async def status_of(running: Running, token: str, **client: str) -> StatusCode:
    """How a request ends."""
    return await end_of(running.certify(token, **client))


@pytest.mark.parametrize(
    ("token", "csr", "code", "reason"),
    [
        ("stolen", new_request(KEY), StatusCode.UNAUTHENTICATED, "token"),
        ("", new_request(KEY), StatusCode.UNAUTHENTICATED, "token"),
        (TOKEN, b"", StatusCode.INVALID_ARGUMENT, "csr"),
        (TOKEN, b"garbage", StatusCode.INVALID_ARGUMENT, "csr"),
        (TOKEN, new_request(KEY, [SHOP.replace("shop", "till")]), StatusCode.INVALID_ARGUMENT, "csr"),
        (TOKEN, csr_of(SHOP, SHOP), StatusCode.INVALID_ARGUMENT, "csr"),
        (TOKEN, csr_of(SHOP + "\0.evil"), StatusCode.INVALID_ARGUMENT, "csr"),
        (TOKEN, csr_of("spiffe://cluster.local/ns/*/sa/*"), StatusCode.INVALID_ARGUMENT, "csr"),
        (TOKEN, b"0" * 100_000, StatusCode.RESOURCE_EXHAUSTED, "message"),
        ("expired", new_request(KEY), StatusCode.UNAUTHENTICATED, "token"),
        ("of-a-deleted-pod", new_request(KEY), StatusCode.UNAUTHENTICATED, "token"),
        ("of-no-pod", new_request(KEY), StatusCode.UNAUTHENTICATED, "token"),
        ("of-another-audience", new_request(KEY), StatusCode.UNAUTHENTICATED, "token"),
        ("t" * 20_000, new_request(KEY), StatusCode.UNAUTHENTICATED, "token"),
    ],
)
async def test_bad_requests_are_refused_with_a_status_and_counted(
    token: str, csr: bytes, code: StatusCode, reason: str
) -> None:
    """Wrong, empty, expired, of a deleted pod, of none, of another audience, too long; a request that is none, garbage,
    of another, of two names, with NUL, wildcard, too large: each has a status, and the next caller is served."""
    async with identity() as running:
        assert await end_of(running.certify(token, csr)) == code
        assert await running.refusals() == {reason: 1}
        assert (await running.certify()).leaf


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\xff garbage", StatusCode.INVALID_ARGUMENT),
        (b"\x0a\x01\xff", StatusCode.INVALID_ARGUMENT),
        (b"0" * 5_000_000, StatusCode.RESOURCE_EXHAUSTED),
        (None, StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_what_is_no_request_is_refused_and_counted(message: bytes | None, code: StatusCode) -> None:
    """Garbage, text that is none, far too large, an end without a message; the next caller is served."""
    async with identity() as running:
        assert await end_of(running.raw(iter([message] if message else []))) == code
        assert await running.refusals() == {"message": 1}
        assert (await running.certify()).leaf


async def test_requests_that_never_come_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one caller's calls without a message few are waited for, and not for long; others are served meanwhile."""
    monkeypatch.setattr(weft_identity.server, "MESSAGE_SECONDS", 1.0)
    async with identity() as running:
        calls = [running.raw(metadata=(("weft-client-address", "10.0.0.66"),)) for _ in range(CONCURRENT + 8)]
        async with asyncio.TaskGroup() as tasks:
            ends = [tasks.create_task(end_of(call)) for call in calls]
            await until(lambda: sum(end.done() for end in ends) == 8)
            assert (await running.certify(address="10.0.0.1")).leaf
            assert sum(end.done() for end in ends) == 8
        found = Counter(end.result() for end in ends)
        assert found == {StatusCode.RESOURCE_EXHAUSTED: 8, StatusCode.DEADLINE_EXCEEDED: CONCURRENT}
        assert f'weft_identity_refused_total{{reason="message"}} {CONCURRENT:.1f}' in await running.metrics()


async def test_an_unreachable_kubernetes_is_worth_a_retry() -> None:
    """UNAVAILABLE, not UNAUTHENTICATED."""
    async with identity() as running:
        failing = {"reason": "InternalError", "message": "etcd is away"}
        running.kube.on_request("POST", ".*tokenreviews", lambda _: (500, failing))
        with pytest.raises(grpc.aio.AioRpcError, match="etcd is away") as refusal:
            await running.certify()
        assert refusal.value.code() == StatusCode.UNAVAILABLE


async def test_metrics_tell_who_rests_on_an_old_bundle() -> None:
    """By the hash in the request."""
    async with identity() as running:
        await running.certify(bundle=bundle_hash(running.bundle("weft")))
        await running.certify(bundle=b"x" * 32)
        metrics = await running.metrics()
        assert "weft_identity_certificates_issued_total 2.0" in metrics
        assert 'weft_identity_client_bundles_total{bundle="current"} 1.0' in metrics
        assert 'weft_identity_client_bundles_total{bundle="old"} 1.0' in metrics


async def test_nothing_secret_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """No token, no key: neither of a good request nor of refused ones."""
    async with identity() as running:
        await running.certify()
        with pytest.raises(grpc.aio.AioRpcError):
            await running.certify("stolen-token")
        output = capsys.readouterr().out
    assert "certificate issued" in output
    assert not [word for word in ("-token", "PRIVATE KEY") if word in output]
