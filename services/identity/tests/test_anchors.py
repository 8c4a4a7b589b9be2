"""The issuer's Secret as the Lease's holder keeps it."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from weft_identity.anchors import Anchors
from weft_identity.events import Events
from weft_identity.issuer import make_anchor, make_issuer
from weft_identity.ledger import Ledger
from weft_identity.metrics import Metrics
from weft_identity.secrets import Secrets
from weft_kube.api import ApiError, KubeApi
from weft_testkit.fake_kube import FakeKube

BORN = datetime(2026, 5, 1, tzinfo=UTC)
ANCHOR = make_anchor("cluster.local", BORN)
ISSUER = make_issuer(ANCHOR, "cluster.local", BORN)
PATH = "/api/v1/namespaces/weft/secrets/weft-issuer"


def secret(name: str, data: dict[str, bytes]) -> dict[str, Any]:
    """A Secret of namespace weft, with a label and a type of its maker's."""
    meta = {"name": name, "namespace": "weft", "labels": {"mine": "yes"}}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": encoded}


class Keeper:
    """Anchor and issuer in a cluster, and who keeps them, so many days later."""

    def __init__(self, kube: FakeKube, api: KubeApi) -> None:
        self.kube = kube
        self.now = BORN
        self.registry = CollectorRegistry()
        self.anchors = Anchors(
            Secrets(api, "weft"),
            Ledger(api, "weft"),
            Events(api, "weft"),
            Metrics(self.registry),
            trust_domain="cluster.local",
            anchor_lifetime=timedelta(days=365),
            issuer_lifetime=timedelta(days=30),
            now=lambda: self.now,
        )
        kube.put(secret("weft-trust-anchor", ANCHOR))
        kube.put(secret("weft-issuer", ISSUER))

    async def after(self, days: int) -> bytes:
        """The issuer's certificate after a look on that day."""
        self.now = BORN + timedelta(days=days)
        await self.anchors.provide()
        await self.anchors.refresh()
        return base64.b64decode(self.kube.get(PATH)["data"]["tls.crt"])

    def told(self) -> list[str]:
        """Messages of Events."""
        return [event["message"] for event in self.kube.store.collection("/api/v1/events").objects.values()]


@pytest.fixture
async def keeper() -> AsyncIterator[Keeper]:
    """On the issuer's first day."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        yield Keeper(kube, api)


@pytest.mark.parametrize(("days", "renewed"), [(0, False), (19, False), (21, True), (40, True)])
async def test_an_issuer_is_renewed_past_two_thirds_of_its_life(keeper: Keeper, days: int, renewed: bool) -> None:
    """Also one that has ended; the new one is used at once."""
    found = await keeper.after(days)

    assert (found != ISSUER["tls.crt"]) is renewed
    assert keeper.anchors.trust
    assert keeper.anchors.trust.issuer_expiry == (keeper.now if renewed else BORN) + timedelta(days=30)


async def test_a_renewal_keeps_what_the_secret_is_otherwise(keeper: Keeper) -> None:
    """Its type, which cannot change, and its labels."""
    await keeper.after(21)

    stored = keeper.kube.get(PATH)
    assert (stored["type"], stored["metadata"]["labels"]) == ("Opaque", {"mine": "yes"})


async def test_without_the_anchors_key_nothing_is_renewed(keeper: Keeper) -> None:
    """Who keeps the key elsewhere brings the next issuer too."""
    keeper.kube.put(secret("weft-trust-anchor", {"ca.crt": ANCHOR["ca.crt"]}))

    assert await keeper.after(21) == ISSUER["tls.crt"]


async def test_a_deleted_issuer_is_made_anew(keeper: Keeper) -> None:
    """To rotate it by hand, delete it."""
    await keeper.after(0)
    keeper.kube.delete(secret("weft-issuer", {}))

    assert await keeper.after(1) != ISSUER["tls.crt"]


async def test_a_deleted_anchor_is_not(keeper: Keeper) -> None:
    """A new one would end all trust."""
    await keeper.after(0)
    keeper.kube.delete(secret("weft-trust-anchor", {}))

    await keeper.anchors.provide()

    assert keeper.kube.writes() == []


async def test_the_issuer_is_signed_by_the_anchor_whose_key_is_there(keeper: Keeper) -> None:
    """Of two anchors in a rotation, wherever it stands; a key of neither makes no issuer."""
    fresh = make_anchor("cluster.local", BORN)
    both = {"ca.crt": ANCHOR["ca.crt"] + fresh["ca.crt"]}
    keeper.kube.put(secret("weft-trust-anchor", both | {"ca.key": fresh["ca.key"]}))
    renewed = await keeper.after(21)
    keeper.kube.put(secret("weft-trust-anchor", both | {"ca.key": make_anchor("cluster.local", BORN)["ca.key"]}))

    assert renewed != ISSUER["tls.crt"]
    assert await keeper.after(50) == renewed


async def test_a_broken_issuer_is_told_also_when_there_was_none_before(keeper: Keeper) -> None:
    """Once, by an Event and a gauge: otherwise it would look as if identity only waited for it."""
    keeper.kube.put(secret("weft-issuer", ISSUER | {"tls.key": b"garbage"}))
    for _ in range(2):
        await keeper.after(0)

    assert [message.partition("; ")[2] for message in keeper.told()] == ["nothing is signed until they are sound"]
    assert keeper.registry.get_sample_value("weft_identity_issuer_unsound") == 1


async def test_an_issuer_that_is_still_to_come_is_waited_for_in_silence(keeper: Keeper) -> None:
    """On the first start, and when somebody else brings it."""
    keeper.kube.delete(secret("weft-issuer", {}))
    await keeper.anchors.refresh()

    assert (keeper.told(), keeper.registry.get_sample_value("weft_identity_issuer_unsound")) == ([], 0)


async def test_an_issuer_that_is_not_valid_yet_is_used_when_it_is(keeper: Keeper) -> None:
    """A replica whose clock is late refuses it only until then."""
    keeper.kube.put(secret("weft-issuer", make_issuer(ANCHOR, "cluster.local", BORN + timedelta(days=1))))
    await keeper.after(0)
    assert keeper.anchors.trust is None

    await keeper.after(2)
    assert keeper.anchors.trust
    assert keeper.registry.get_sample_value("weft_identity_issuer_unsound") == 0


async def test_a_write_upon_another_ones_is_a_conflict(keeper: Keeper) -> None:
    """Who reads the Secret and then writes it names the version read."""
    versions = []

    def other_is_faster(request: Any) -> None:
        versions.append(request.body["metadata"]["resourceVersion"])
        keeper.kube.put(secret("weft-issuer", ISSUER))

    keeper.kube.on_request("PUT", PATH, other_is_faster)
    read = keeper.kube.get(PATH)["metadata"]["resourceVersion"]
    with pytest.raises(ApiError, match="409"):
        await keeper.after(21)
    assert versions == [read]
