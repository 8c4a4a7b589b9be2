"""The issuer's Secret as the Lease's holder keeps it."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from prometheus_client import CollectorRegistry
from weft_identity.anchors import Anchors
from weft_identity.events import Events
from weft_identity.issuer import Terms, make_anchor, make_issuer
from weft_identity.ledger import Ledger
from weft_identity.maker import Maker
from weft_identity.metrics import Metrics
from weft_identity.rotation import FRESH_SECONDS, MARGIN_SECONDS
from weft_identity.secrets import Secrets
from weft_identity.takeover import OVERLAP
from weft_kube.api import ApiError, KubeApi
from weft_pki.bundle import bundle_pem, parse_certificates
from weft_pki.issue import CLOCK_SKEW
from weft_pki.keys import load_key
from weft_testkit.fake_kube import FakeKube

BORN = datetime(2026, 5, 1, tzinfo=UTC)
OVERLAP_SECONDS = OVERLAP.total_seconds()
ANCHOR = make_anchor("cluster.local", BORN)
ISSUER = make_issuer(ANCHOR, "cluster.local", BORN)
TERMS = Terms("cluster.local", anchor=timedelta(days=365), issuer=timedelta(days=30), leaf=timedelta(days=1))
PATH = "/api/v1/namespaces/weft/secrets/weft-issuer"


def secret(name: str, data: dict[str, bytes]) -> dict[str, Any]:
    """A Secret of namespace weft, with a label and a type of its maker's."""
    meta = {"name": name, "namespace": "weft", "labels": {"mine": "yes"}}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": encoded}


def published(bundle: bytes, since: datetime) -> dict[str, Any]:
    """The bundle that proxies of namespace weft mount, and since when the API server knows it."""
    written = [{"manager": "weft-identity", "time": since.strftime("%Y-%m-%dT%H:%M:%SZ")}]
    meta = {"name": "weft-trust-bundle", "namespace": "weft", "managedFields": written}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"ca.crt": bundle.decode()}}


class Keeper:
    """Anchor and issuer in a cluster, and who keeps them, so many days later."""

    def __init__(self, kube: FakeKube, api: KubeApi) -> None:
        self.kube = kube
        self.api = api
        self.now = BORN
        self.published = b""
        self.restart()
        kube.put(secret("weft-trust-anchor", ANCHOR))
        kube.put(secret("weft-issuer", ISSUER))

    def restart(self) -> None:
        """A replica that knows nothing yet."""
        self.registry = CollectorRegistry()
        self.anchors = Anchors(
            Secrets(self.api, "weft"),
            Ledger(self.api, "weft"),
            Events(self.api, "weft"),
            Metrics(self.registry),
            TERMS,
            now=lambda: self.now,
            clock=self.clock,
        )

    def clock(self) -> float:
        """The monotonic one."""
        return self.now.timestamp()

    def replaced(self, *, beside: bool) -> dict[str, bytes]:
        """Somebody replaces the issuer by one of another anchor, which comes beside the old one or instead of it."""
        other = make_anchor("cluster.local", BORN)
        bundle = ANCHOR["ca.crt"] * beside + other["ca.crt"]
        self.kube.put(secret("weft-trust-anchor", {"ca.crt": bundle}))
        self.kube.put(secret("weft-issuer", make_issuer(other, "cluster.local", BORN)))
        return {"ca.crt": bundle}

    def put(self, name: str, data: dict[str, bytes]) -> None:
        """Somebody changes a Secret's data; its annotations stay."""
        old = self.kube.get(f"/api/v1/namespaces/weft/secrets/{name}")
        self.kube.put({**old, "apiVersion": "v1", "kind": "Secret", "data": secret(name, data)["data"]})

    async def provides(self) -> None:
        """The Lease's holder makes what is absent or due."""
        await Maker(Secrets(self.api, "weft"), TERMS, now=lambda: self.now).provide(trusted=bool(self.anchors.trust))

    async def looks(self, seconds: float = 0, *, notes: bool = True) -> list[x509.Certificate]:
        """The bundle's anchors after so long and a look; the Lease's holder writes down what is in use."""
        self.now += timedelta(seconds=seconds)
        await self.anchors.refresh()
        assert self.anchors.trust
        if self.anchors.trust.bundle != self.published:
            self.published = self.anchors.trust.bundle
            self.kube.put(published(self.published, self.now))
        if notes:
            await self.anchors.note()
        return parse_certificates(self.anchors.trust.bundle)

    async def moves_to(self, *names: dict[str, bytes]) -> list[x509.Certificate]:
        """Somebody puts these anchors into the Secret, and an issuer of the last; the bundle when that signs."""
        self.put("weft-trust-anchor", {"ca.crt": b"".join(each["ca.crt"] for each in names)})
        self.put("weft-issuer", make_issuer(names[-1], "cluster.local", BORN))
        await self.looks()
        return await self.looks(OVERLAP_SECONDS)

    def used(self) -> tuple[bytes, int]:
        """The bundle, and the place in it of the anchor that signs."""
        assert self.anchors.trust
        return self.anchors.trust.bundle, self.anchors.trust.facts.anchors.index(self.anchors.trust.facts.issuer)

    async def after(self, days: int) -> bytes:
        """The issuer's certificate after a look on that day."""
        self.now = BORN + timedelta(days=days)
        await self.provides()
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


async def test_metrics_tell_what_remains_of_which_life(keeper: Keeper) -> None:
    """Of the issuer, and of the anchor that ends first: the alert goes by the part, as `weft check` does."""
    short = make_anchor("cluster.local", BORN, timedelta(days=100))
    keeper.kube.put(secret("weft-trust-anchor", {"ca.crt": ANCHOR["ca.crt"] + short["ca.crt"]}))
    await keeper.after(1)
    names = ("issuer_expiry_timestamp", "issuer_lifetime", "anchor_expiry_timestamp", "anchor_lifetime")
    told = [keeper.registry.get_sample_value(f"weft_identity_{name}_seconds") for name in names]

    born, skew, day = BORN.timestamp(), CLOCK_SKEW.total_seconds(), 86_400
    assert told == [born + 30 * day, 30 * day + skew, born + 100 * day, 100 * day + skew]


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

    await keeper.provides()

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


async def test_an_anchor_that_replaces_the_one_in_use_is_refused(keeper: Keeper) -> None:
    """Every connection would break. The old one is kept, and an Event says what to do."""
    await keeper.after(0)
    keeper.replaced(beside=False)
    await keeper.anchors.refresh()

    assert keeper.used() == (ANCHOR["ca.crt"], 0)
    assert "put that of ConfigMap weft-trust-bundle beside the new one" in keeper.told()[0]


async def test_a_restart_does_not_make_it_right(keeper: Keeper) -> None:
    """What proxies believe is what was published: the anchor beside it is, and signs when it has reached them."""
    keeper.kube.put(published(ANCHOR["ca.crt"], BORN))
    keeper.replaced(beside=False)
    await keeper.anchors.refresh()
    assert keeper.anchors.trust is None

    both = keeper.replaced(beside=True)["ca.crt"]
    await keeper.looks()
    assert (keeper.used(), keeper.anchors.signing) == ((both, 1), None)
    keeper.restart()
    await keeper.looks(OVERLAP_SECONDS - 1)
    assert (keeper.used(), keeper.anchors.signing) == ((both, 1), None)
    await keeper.looks(1)
    assert keeper.anchors.signing == keeper.anchors.trust


async def test_a_restart_waits_for_no_anchor_that_has_signed(keeper: Keeper) -> None:
    """Even if the bundle was published a moment ago: it is written down as in use."""
    await keeper.looks()
    keeper.kube.put(published(ANCHOR["ca.crt"], BORN + timedelta(days=1)))
    keeper.restart()
    await keeper.looks(DAY)

    assert keeper.anchors.signing


async def test_a_replica_that_was_cut_off_waits_as_one_that_was_restarted(keeper: Keeper) -> None:
    """What it signed under before may be over: it has missed steps."""
    await keeper.looks()
    both = keeper.replaced(beside=True)["ca.crt"]
    await keeper.looks(FRESH_SECONDS)
    assert (keeper.used(), keeper.anchors.signing) == ((both, 1), None)
    await keeper.looks(FRESH_SECONDS - 1)
    await keeper.looks(OVERLAP_SECONDS)
    assert keeper.anchors.signing


async def test_an_issuer_that_late_clocks_do_not_believe_yet_waits(keeper: Keeper) -> None:
    """Some authorities date nothing back; until clocks that are 40 s late take it for valid, the former one signs."""
    await keeper.looks()
    keeper.put("weft-issuer", make_issuer(ANCHOR, "cluster.local", BORN + CLOCK_SKEW + CLOCK_SKEW))
    signs = []
    for _ in range(5):
        await keeper.looks(20)
        assert keeper.anchors.signing
        signs.append(keeper.anchors.signing.issuer_expiry - BORN - timedelta(days=30))

    assert signs == [timedelta(0)] * 3 + [2 * CLOCK_SKEW] * 2
    assert keeper.told() == []


async def test_an_anchor_that_comes_with_its_issuer_is_published_before_it_signs(keeper: Keeper) -> None:
    """A bundle takes its time to the proxies; until then the old issuer signs."""
    await keeper.after(0)
    both = keeper.replaced(beside=True)["ca.crt"]
    signs = []
    for _ in range(0, int(OVERLAP_SECONDS) + 30, 30):
        await keeper.anchors.refresh()
        signs.append(keeper.used())
        keeper.now += timedelta(seconds=30)

    assert signs == [(both, 0)] * 10 + [(both, 1)]
    assert keeper.told() == []


async def test_an_anchor_renewed_with_its_key_is_no_other(keeper: Keeper) -> None:
    """Its leaves are verified by either."""
    await keeper.after(1)
    (old,) = parse_certificates(ANCHOR["ca.crt"])
    span = old.not_valid_before_utc + timedelta(days=1), old.not_valid_after_utc + timedelta(days=1)
    builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), 1, *span, list(old.extensions))
    renewed = bundle_pem([builder.sign(load_key(ANCHOR["ca.key"]), hashes.SHA256())])
    keeper.kube.put(secret("weft-trust-anchor", {"ca.crt": renewed}))
    await keeper.anchors.refresh()

    assert keeper.used() == (renewed, 0)


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


DAY = 86_400
OTHERS = [make_anchor("cluster.local", BORN) for _ in range(2)]
FIRST, SECOND, THIRD = (parse_certificates(each["ca.crt"])[0] for each in (ANCHOR, *OTHERS))


async def test_an_anchor_taken_out_too_early_stays_in_the_bundle_as_long_as_leaves_may_rest_on_it(
    keeper: Keeper,
) -> None:
    """A day after the last of them was signed, and a margin; a look is enough for it to go."""
    await keeper.looks()
    await keeper.moves_to(ANCHOR, OTHERS[0])
    keeper.put("weft-trust-anchor", {"ca.crt": OTHERS[0]["ca.crt"]})

    assert await keeper.looks(60) == [SECOND, FIRST]
    assert await keeper.looks(DAY) == [SECOND, FIRST]
    assert await keeper.looks(MARGIN_SECONDS) == [SECOND]
    assert keeper.told() == []


async def test_anchors_changed_twice_within_a_day_are_all_kept(keeper: Keeper) -> None:
    """Leaves of either may live."""
    await keeper.looks()
    await keeper.moves_to(ANCHOR, OTHERS[0])
    assert await keeper.moves_to(*OTHERS) == [SECOND, THIRD, FIRST]
    keeper.put("weft-trust-anchor", {"ca.crt": OTHERS[1]["ca.crt"]})

    assert await keeper.looks() == [THIRD, SECOND, FIRST]


async def test_a_replica_that_was_not_there_keeps_them_too(keeper: Keeper) -> None:
    """Whoever sees the Secret; also when the issuer changed while no identity ran."""
    await keeper.looks()
    keeper.put("weft-trust-anchor", {"ca.crt": ANCHOR["ca.crt"] + OTHERS[0]["ca.crt"]})
    await keeper.looks()
    keeper.put("weft-trust-anchor", {"ca.crt": OTHERS[0]["ca.crt"]})
    keeper.put("weft-issuer", make_issuer(OTHERS[0], "cluster.local", BORN))
    keeper.restart()

    assert await keeper.looks(DAY, notes=False) == [SECOND, FIRST]
    await keeper.looks()
    keeper.restart()
    assert await keeper.looks(DAY + MARGIN_SECONDS) == [SECOND]


async def test_issuer_and_anchors_may_change_at_once_when_proxies_know_the_new_one(keeper: Keeper) -> None:
    """Between two looks of a replica, somebody puts in the new issuer and takes the old anchor out."""
    keeper.put("weft-trust-anchor", {"ca.crt": ANCHOR["ca.crt"] + OTHERS[0]["ca.crt"]})
    await keeper.looks()
    await keeper.looks(OVERLAP_SECONDS)
    keeper.put("weft-trust-anchor", {"ca.crt": OTHERS[0]["ca.crt"]})
    keeper.put("weft-issuer", make_issuer(OTHERS[0], "cluster.local", BORN))

    assert (await keeper.looks(), keeper.used()[1], keeper.told()) == ([SECOND, FIRST], 0, [])


async def test_a_secret_replaced_as_a_whole_does_not_make_identity_forget(keeper: Keeper) -> None:
    """It writes them down again; an empty list is what ends the trust at once."""
    await keeper.looks()
    await keeper.moves_to(ANCHOR, OTHERS[0])
    keeper.put("weft-trust-anchor", {"ca.crt": OTHERS[0]["ca.crt"]})
    keeper.kube.put(secret("weft-issuer", make_issuer(OTHERS[0], "cluster.local", BORN)))
    assert await keeper.looks() == [SECOND, FIRST]

    issuer = keeper.kube.get(PATH)
    issuer["metadata"]["annotations"]["weft.dev/anchors-in-use"] = "[]"
    keeper.kube.put({**issuer, "apiVersion": "v1", "kind": "Secret"})
    assert await keeper.looks() == [SECOND]


async def test_what_is_written_down_is_no_change(keeper: Keeper) -> None:
    """The trust in use stays the very same."""
    await keeper.looks()
    trust = keeper.anchors.trust
    await keeper.looks()

    assert keeper.anchors.trust is trust


async def test_a_bundle_that_somebody_has_changed_adds_no_trust(keeper: Keeper) -> None:
    """What is published is no source of anchors, only the Secrets are."""
    await keeper.looks()
    keeper.kube.put(published(ANCHOR["ca.crt"] + OTHERS[0]["ca.crt"], BORN))
    keeper.restart()

    assert await keeper.looks() == [FIRST]
