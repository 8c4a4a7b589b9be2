"""A rotation carried out: Secrets in a fake cluster, proxies that ask by the gRPC service's own code."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import weft_identity.rotator
from cryptography import x509
from prometheus_client import CollectorRegistry
from weft_api.identity.v1.identity_pb2 import CertifyRequest
from weft_identity.anchors import Anchors
from weft_identity.events import Events
from weft_identity.inuse import ANNOTATION, Use
from weft_identity.issuer import IssuerExpiredError, Terms, make_anchor, make_issuer
from weft_identity.ledger import Ledger
from weft_identity.maker import Maker
from weft_identity.metrics import Metrics
from weft_identity.rotation import BORN_SECONDS, FRESH_SECONDS, MARGIN_SECONDS, SETTLE_SECONDS, Phase
from weft_identity.rotator import Rotator
from weft_identity.secrets import Secrets
from weft_identity.server import BundleOldError, Identity
from weft_kube.api import ApiError, KubeApi
from weft_pki.bundle import bundle_hash, parse_certificates
from weft_pki.csr import new_request
from weft_pki.keys import new_key
from weft_pki.verify import verify_workload
from weft_testkit.fake_kube import FakeKube, Recorded

BORN = datetime(2026, 5, 1, tzinfo=UTC)
ANCHOR = make_anchor("cluster.local", BORN)
ISSUER = make_issuer(ANCHOR, "cluster.local", BORN)
CSR = new_request(new_key())
BASE = "/api/v1/namespaces/weft"


def secret(name: str, data: dict[str, bytes]) -> dict[str, Any]:
    """A Secret of namespace weft."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    meta = {"name": name, "namespace": "weft"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded}


def pod(name: str, *, node: str = "n1", phase: str = "Running", proxy: str = "running") -> dict[str, Any]:
    """A meshed pod, older than the rotation, and the state of its proxy's container; its uid is its name."""
    meta = {"name": name, "namespace": "teahouse", "uid": name, "creationTimestamp": "2026-05-01T00:00:00Z"}
    spec = {"containers": [{"name": "app"}], "initContainers": [{"name": "weft-proxy"}], "nodeName": node}
    states = [{"name": "weft-proxy", "state": {proxy: {}}, "restartCount": 0}]
    status = {"phase": phase, "initContainerStatuses": states}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}


def token_review(request: Recorded) -> dict[str, Any]:
    """Tokens are the names of pods."""
    extra = {"authentication.kubernetes.io/pod-uid": [request.body["spec"]["token"]]}
    user = {"username": "system:serviceaccount:teahouse:shop", "extra": extra}
    return {"status": {"authenticated": True, "user": user, "audiences": ["identity.weft.dev"]}}


class Replica:
    """One identity without its servers; `now` is the test's."""

    def __init__(self, kube: FakeKube, api: KubeApi) -> None:
        self.kube = kube
        self.now = BORN + timedelta(days=10)
        self.ledger = Ledger(api, "weft")
        self.registry = CollectorRegistry()
        metrics, secrets, events = Metrics(self.registry), Secrets(api, "weft"), Events(api, "weft")
        terms = Terms("cluster.local", anchor=timedelta(days=365), issuer=timedelta(days=30), leaf=timedelta(days=1))
        times: dict[str, Any] = {"now": lambda: self.now}
        self.anchors = Anchors(secrets, self.ledger, events, metrics, terms, clock=self.clock, **times)
        maker = Maker(secrets, terms, **times)
        self.rotator = Rotator(api, secrets, self.anchors, maker, self.ledger, metrics=metrics, terms=terms, **times)
        self.server = Identity(api, self.anchors, self.ledger, metrics, terms, **times)

    def bundle(self) -> bytes:
        """What is published."""
        return base64.b64decode(self.kube.get(f"{BASE}/secrets/weft-trust-anchor")["data"]["ca.crt"])

    def wish(self, **data: str) -> None:
        """`weft identity rotate`, with what somebody wrote beside it."""
        meta = {"name": "weft-rotation", "namespace": "weft"}
        self.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"requested": "now"} | data})

    async def ask(self, name: str, bundle: bytes) -> str:
        """The identity in a leaf that a proxy with this bundle got, and verified by it."""
        request = CertifyRequest(token=name, csr=CSR, bundle_sha256=bundle_hash(bundle))
        answer = await self.server._certify(request)
        leaf, *chain = (x509.load_der_x509_certificate(der) for der in (answer.leaf, *answer.chain))
        return verify_workload(leaf, chain, parse_certificates(bundle), self.now)

    async def until_it_waits(self) -> Phase:
        """The phase in which there is nothing more to do."""
        while await self.rotator.step():
            pass
        return self.ledger.state.phase

    def clock(self) -> float:
        """The monotonic one."""
        return self.now.timestamp()

    async def later(self) -> None:
        """As long as a phase lasts at least; replicas look meanwhile."""
        self.now += timedelta(seconds=SETTLE_SECONDS)
        await self.anchors.refresh()


@asynccontextmanager
async def replicas(*pods: dict[str, Any]) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two identities in a cluster with Secrets and these pods."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        kube.on_request("POST", ".*/tokenreviews", token_review)
        for obj in (secret("weft-trust-anchor", ANCHOR), secret("weft-issuer", ISSUER), *pods):
            kube.put(obj)
        first, second = Replica(kube, api), Replica(kube, api)
        async with asyncio.TaskGroup() as tasks:
            writing = [tasks.create_task(replica.ledger.run()) for replica in (first, second)]
            for replica in (first, second):
                await replica.anchors.refresh()
            yield first, second
            for task in writing:
                task.cancel()


async def test_a_rotation_from_wish_to_end() -> None:
    """Each phase waits for every pod; each leaf verifies by the bundle of who asked; then the old anchor is gone, and
    not kept for a day, as one is that somebody takes out."""
    async with replicas(pod("p1"), pod("p2"), pod("unplaced", node=""), pod("ended", phase="Failed")) as (leader, _):
        await leader.anchors.note()
        leader.wish()
        assert await leader.until_it_waits() is Phase.TRUSTING
        both = leader.bundle()
        await leader.ask("p1", both)
        await leader.later()
        assert await leader.until_it_waits() is Phase.TRUSTING
        await leader.ask("p2", both)

        assert await leader.until_it_waits() is Phase.LEAVING
        turned = leader.bundle()
        assert sorted(map(str, parse_certificates(turned))) == sorted(map(str, parse_certificates(both)))
        assert turned != both
        await leader.anchors.note()
        for name in ("p1", "p2"):
            await leader.ask(name, turned)
        await leader.later()

        assert await leader.until_it_waits() is Phase.IDLE
        assert leader.ledger.state.note == "finished"
        assert leader.anchors.trust
        assert parse_certificates(leader.anchors.trust.bundle) == parse_certificates(both)[1:]
        assert await leader.ask("p1", leader.bundle()) == "spiffe://cluster.local/ns/teahouse/sa/shop"


async def test_a_proxy_that_does_not_run_keeps_nobody_waiting() -> None:
    """Its image cannot be pulled, say; once no replica can still be unaware of the rotation, it has no leaf."""
    async with replicas(pod("stuck", proxy="waiting")) as (leader, _):
        leader.wish()
        assert await leader.until_it_waits() is Phase.TRUSTING
        leader.now += timedelta(seconds=BORN_SECONDS - 1)
        assert await leader.until_it_waits() is Phase.TRUSTING
        await leader.later()
        assert await leader.until_it_waits() is Phase.LEAVING
        leader.now += timedelta(seconds=BORN_SECONDS)
        assert await leader.until_it_waits() is Phase.IDLE


async def test_a_pod_that_is_gone_is_missed_at_the_next_look() -> None:
    """As long as one page of a list holds all pods."""
    async with replicas(pod("p1")) as (leader, _):
        leader.wish()
        await leader.until_it_waits()
        await leader.later()
        assert await leader.until_it_waits() is Phase.TRUSTING
        leader.kube.delete(pod("p1"))
        assert await leader.until_it_waits() is Phase.LEAVING


@pytest.mark.parametrize("state", ["x", "[]", '{"x": ' + "[" * 10_000 + "]" * 10_000 + "}"], ids=["x", "[]", "deep"])
async def test_what_cannot_be_read_is_no_rotation(state: str) -> None:
    """Whoever has written it: the next one begins anew, and all go on to sign."""
    async with replicas(pod("p1")) as (leader, other):
        leader.wish(state=state, p1="0.1.1.²")
        await other.later()
        assert "does not parse" in other.ledger.state.note
        await leader.until_it_waits()
        await other.ask("p1", leader.bundle())
        assert leader.ledger.state.phase is Phase.TRUSTING


async def test_what_one_replica_knows_all_do() -> None:
    """Leaves that another replica signed count, also for a leader that has just started."""
    async with replicas(pod("p1")) as (leader, other):
        leader.wish()
        await leader.until_it_waits()
        await other.ask("p1", leader.bundle())
        await other.later()
        assert await other.until_it_waits() is Phase.LEAVING


async def test_a_proxy_with_an_old_bundle_is_refused_once_the_new_anchor_signs() -> None:
    """It could not use the leaf, and must not get one of the old anchor any more: it asks again with the new bundle."""
    async with replicas() as (leader, _):
        leader.wish()
        await leader.until_it_waits()
        await leader.later()
        assert await leader.until_it_waits() is Phase.LEAVING
        leader.kube.put(pod("late"))
        with pytest.raises(BundleOldError):
            await leader.ask("late", ANCHOR["ca.crt"])
        assert await leader.ask("late", leader.bundle())


async def test_a_replica_that_may_have_missed_a_step_signs_nothing() -> None:
    """It looks every 30 s, so after a minute without a look something is wrong; no phase is shorter than that."""
    async with replicas(pod("p1")) as (leader, other):
        await other.ask("p1", ANCHOR["ca.crt"])
        leader.wish()
        await leader.until_it_waits()
        other.now += timedelta(seconds=FRESH_SECONDS)
        with pytest.raises(IssuerExpiredError, match="cannot read its Secrets"):
            await other.ask("p1", ANCHOR["ca.crt"])


async def test_a_leaf_signed_while_the_leader_judges_stops_its_decision() -> None:
    """It wrote down the leaf; the leader's write names an older version."""
    async with replicas(pod("p1")) as (leader, other):
        leader.wish()
        await leader.until_it_waits()
        await leader.ask("p1", leader.bundle())
        await leader.later()
        asked = []

        def meanwhile(_: Recorded) -> None:
            if not asked:
                asked.append(1)
                data = {"state": leader.kube.get(f"{BASE}/configmaps/weft-rotation")["data"]["state"]}
                meta = {"name": "weft-rotation", "namespace": "weft"}
                leader.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})

        leader.kube.on_request("GET", "/api/v1/pods", meanwhile)
        with pytest.raises(ApiError, match="409"):
            await leader.until_it_waits()
        assert await other.until_it_waits() is Phase.TRUSTING


async def test_an_anchor_of_a_certain_age_is_rotated_unasked() -> None:
    """After two thirds of its life; not before."""
    async with replicas() as (leader, _):
        assert await leader.until_it_waits() is Phase.IDLE
        leader.now = BORN + timedelta(days=244)
        leader.kube.put(secret("weft-issuer", make_issuer(ANCHOR, "cluster.local", leader.now)))
        assert await leader.until_it_waits() is Phase.TRUSTING


async def test_an_anchor_that_is_due_in_too_large_a_mesh_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a gauge and the log, not only to who asks for a rotation: somebody must do it by hand."""
    monkeypatch.setattr(weft_identity.rotator, "MAX_PODS", 1)
    async with replicas(pod("p1"), pod("p2")) as (leader, _):
        leader.now = BORN + timedelta(days=244)
        leader.kube.put(secret("weft-issuer", make_issuer(ANCHOR, "cluster.local", leader.now)))
        assert await leader.until_it_waits() is Phase.IDLE
        assert leader.registry.get_sample_value("weft_identity_rotation_blocked") == 1
        leader.kube.delete(pod("p2"))
        assert await leader.until_it_waits() is Phase.TRUSTING
        assert leader.registry.get_sample_value("weft_identity_rotation_blocked") == 0


async def test_leaves_of_a_longer_former_lifetime_are_waited_for() -> None:
    """A pod that never answers may have one: `issuanceLifetime` was 15 days until now."""
    async with replicas(pod("p1")) as (leader, _):
        until = int(leader.now.timestamp()) + 15 * 86_400
        uses = msgspec.json.encode([Use(ANCHOR["ca.crt"].decode(), lifetime=86_400, former=until)]).decode()
        issuer = secret("weft-issuer", ISSUER)
        issuer["metadata"]["annotations"] = {ANNOTATION: uses}
        leader.kube.put(issuer)
        leader.wish()
        assert await leader.until_it_waits() is Phase.TRUSTING
        leader.now += timedelta(days=2)
        assert await leader.until_it_waits() is Phase.TRUSTING
        leader.now += timedelta(days=13, seconds=MARGIN_SECONDS)
        assert await leader.until_it_waits() is Phase.LEAVING


async def test_progress_is_told() -> None:
    """For `weft identity rotate`: how many pods, and for whom it waits."""
    async with replicas(pod("p1"), pod("p2")) as (leader, _):
        leader.wish()
        await leader.until_it_waits()
        await leader.ask("p1", leader.bundle())
        await leader.until_it_waits()
        progress = leader.kube.get(f"{BASE}/configmaps/weft-rotation")["data"]["progress"]
        assert progress == '{"pods":2,"waiting":1,"names":["teahouse/p2"]}'


async def test_leaves_of_pods_that_are_gone_are_forgotten() -> None:
    """While a phase waits for another pod: thousands of short-lived ones must not fill the ConfigMap."""
    async with replicas(pod("p1"), pod("p2"), pod("slow")) as (leader, other):
        leader.wish()
        await leader.until_it_waits()
        for name in ("p1", "p2"):
            await other.ask(name, leader.bundle())
        leader.kube.delete(pod("p1"))
        await leader.until_it_waits()
        data = leader.kube.get(f"{BASE}/configmaps/weft-rotation")["data"]
        assert data.keys() == {"state", "progress", "p2"}


async def test_an_anchor_whose_key_is_kept_elsewhere_is_not_rotated() -> None:
    """The wish is answered by the reason."""
    async with replicas() as (leader, _):
        leader.kube.put(secret("weft-trust-anchor", {"ca.crt": ANCHOR["ca.crt"]}))
        leader.wish()
        assert await leader.until_it_waits() is Phase.IDLE
        assert "ca.key" in leader.ledger.state.note
