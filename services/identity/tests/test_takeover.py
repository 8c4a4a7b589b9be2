"""Taking over what somebody puts into the Secrets: in whatever order things happen, proxies believe what signs."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from weft_identity.inuse import Uses, live, used
from weft_identity.issuer import Trust, make_anchor, make_issuer
from weft_identity.overlap import root, roots
from weft_identity.takeover import LONG_AGO, OVERLAP, Joined, Later, Refuse, Seen, Take, joined_since, judge
from weft_pki.issue import CLOCK_SKEW

BORN = datetime(2026, 5, 1, tzinfo=UTC)
NOW = BORN + timedelta(minutes=10)
SECOND = timedelta(seconds=1)
DAY = 86_400
ANCHORS = [make_anchor("cluster.local", BORN) for _ in range(3)]
DATES = range(0, 1500, 150)
ISSUERS = {
    (number, date): make_issuer(anchor, "cluster.local", BORN + CLOCK_SKEW + timedelta(seconds=date))
    for number, anchor in enumerate(ANCHORS)
    for date in DATES
}
"""By the number of their anchor, and from how many seconds on they are valid."""


def seen(anchors: list[int], issuer: int, date: int = 0, proved: str = "") -> Seen:
    """These anchors, and an issuer of one of them."""
    bundle = b"".join(ANCHORS[each]["ca.crt"] for each in anchors)
    return Seen({"ca.crt": bundle}, ISSUERS[issuer, date], proved=proved)


def taken(found: Seen) -> Trust:
    """What signs when nobody is there who could disbelieve it."""
    verdict = judge(found, None, {}, NOW)
    assert isinstance(verdict, Take)
    return verdict.trust


OLD, NEW = taken(seen([0], 0)), taken(seen([0, 1], 1))
HELD: Joined = dict.fromkeys(roots(OLD.anchors), LONG_AGO)
BOTH: Joined = dict.fromkeys(roots(NEW.anchors), LONG_AGO)
ON_ITS_WAY: Joined = {**HELD, root(NEW): NOW - OVERLAP + SECOND}


@pytest.mark.parametrize(
    ("found", "joined", "waits"),
    [
        (seen([0], 0), HELD, None),
        (seen([0], 0, 600), HELD, 40),
        (seen([1], 1, 600), {}, None),
        (seen([0, 1], 1), HELD, 300),
        (seen([0, 1], 1), ON_ITS_WAY, 1),
        (seen([0, 1], 1), BOTH, None),
        (seen([0, 1], 1, proved=NEW.facts.issuer), HELD, None),
        (seen([0, 1], 1, 600), ON_ITS_WAY, 40),
        (seen([1], 1), BOTH, None),
    ],
)
@pytest.mark.parametrize("former", [OLD, None], ids=["followed", "restarted"])
def test_what_signs_when(found: Seen, joined: Joined, waits: int | None, former: Trust | None) -> None:
    """Known; known, but dated from now; before there are proxies; an anchor that has just come, is almost there, came
    long ago, is proved by a rotation; almost there and dated from now; without the old one."""
    verdict = judge(found, former, joined, NOW)
    if waits is None:
        assert isinstance(verdict, Take)
    else:
        assert isinstance(verdict, Later)
        assert (verdict.former, verdict.when) == (former, NOW + waits * SECOND)
        assert not former or verdict.trust.authority == former.authority


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (seen([1], 1), "not among the new ones"),
        (seen([0], 1), "neither by the next"),
        (seen([0], 0, 750), "valid only from"),
        (Seen(None, None), "has no ca.crt"),
    ],
)
def test_what_is_refused(found: Seen, reason: str) -> None:
    """Another anchor instead of the one that is believed; an issuer of none, of later than clocks differ; nothing."""
    verdict = judge(found, OLD, HELD, NOW)
    assert isinstance(verdict, Refuse)
    assert reason in verdict.reason


LATE = 20 * SECOND
"""Every clock is wrong by no more."""

CARRIED = OVERLAP - 2 * LATE
"""A kubelet brings a bundle to its pods within this."""


class AnyChange(RuleBasedStateMachine):
    """A person who changes the Secrets, a replica whose clock is wrong, restarts, kubelets, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.skew = LATE
        self.secrets = seen([0], 0)
        self.uses: Uses = ()
        self.published = [(LONG_AGO, set(HELD))]
        self.signed: set[bytes] = set()
        self.forgets()
        self.looks()

    def forgets(self) -> None:
        """A replica that knows nothing."""
        self.trust: Trust | None = None
        self.signs = False
        self.joined: Joined = {}

    @rule(skew=st.integers(-1, 1))
    def restarts(self, skew: int) -> None:
        """On another node, perhaps."""
        self.forgets()
        self.skew = skew * LATE
        self.looks()

    @rule(
        anchors=st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
        date=st.sampled_from(DATES),
        looks=st.booleans(),
    )
    def somebody_changes_the_secrets(self, anchors: list[int], date: int, looks: bool) -> None:
        """Any anchors, and an issuer of the first."""
        self.secrets = seen(anchors, anchors[0], date)
        if looks:
            self.looks()

    @rule(seconds=st.integers(1, 59))
    def time_passes(self, seconds: int) -> None:
        """And a look."""
        self.now += seconds * SECOND
        self.looks()

    @rule()
    def overlap_passes(self) -> None:
        """With looks."""
        for _ in range(6):
            self.time_passes(50)

    def looks(self) -> None:
        """As anchors.py does it, then the publisher."""
        clock = self.now + self.skew
        former = self.trust if self.signs else None
        found = Seen(self.secrets.anchor, self.secrets.issuer, self._in_use(former, self.uses))
        joined = self.joined if self.trust else self._published()
        verdict = judge(found, former, joined, clock)
        if isinstance(verdict, Refuse):
            return
        self.trust = verdict.trust
        self.signs = former is not None or isinstance(verdict, Take)
        self.joined = joined_since(self.trust.anchors, joined, clock)
        self.uses = self._in_use(self.trust if self.signs else None, self.uses)
        if self.signs:
            self.signed.add(root(self.trust))
        if (bundle := roots(self.trust.anchors)) != self.published[-1][1]:
            self.published.append((self.now, bundle))

    def _in_use(self, signer: Trust | None, uses: Uses) -> Uses:
        seconds = int((self.now + self.skew).timestamp())
        return used(uses, signer.anchor, seconds, DAY) if signer else live(uses, seconds)

    def _published(self) -> Joined:
        """By the API server's clock."""
        since, bundle = self.published[-1]
        ever = {each for use in self.uses for each in use.root}
        return {each: LONG_AGO if each in ever or since == LONG_AGO else since - LATE for each in bundle}

    @invariant()
    def every_proxy_believes_what_signs(self) -> None:
        """Whichever bundle its kubelet has brought by now, and by whatever clock."""
        if self.trust and self.signs:
            held = [bundle for since, bundle in self.published if self.now < since + CARRIED]
            arrived = [bundle for since, bundle in self.published if since + CARRIED <= self.now]
            assert all(root(self.trust) in bundle for bundle in [arrived[-1], *held])
            assert all(each.not_valid_before_utc <= self.now - LATE for each in self.trust.authority.chain)

    @invariant()
    def what_has_signed_stays_believed(self) -> None:
        """No run here is as long as a leaf lives."""
        assert self.signed <= self.published[-1][1]


AnyChange.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestAnyChange = AnyChange.TestCase
