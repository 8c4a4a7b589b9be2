"""Rotating the anchor: in whatever order things happen, every live proxy believes every live leaf."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from weft_identity.issuer import Trust
from weft_identity.rotation import (
    BORN_SECONDS,
    FRESH_SECONDS,
    MARGIN_SECONDS,
    PROVED_SECONDS,
    SETTLE_SECONDS,
    Facts,
    Leaf,
    Phase,
    Pod,
    Proof,
    Sight,
    State,
    Step,
    may_issue,
    next_step,
)
from weft_pki.bundle import bundle_hash, bundle_pem, fingerprint
from weft_pki.issue import new_anchor

DAY = 86_400
RETRY_SECONDS = 20
WRITE_SECONDS = 30
"""A write that takes longer is given up."""

ANCHORS = [new_anchor(datetime(2026, 5, 1, tzinfo=UTC)).certificate for _ in range(12)]
BY_NAME = {fingerprint(anchor): anchor for anchor in ANCHORS}
NAMES = list(BY_NAME)
Bundle = tuple[str, ...]


def sha(bundle: Bundle) -> bytes:
    """What a proxy with this bundle sends."""
    return bundle_hash(bundle_pem(BY_NAME[name] for name in bundle))


def trust(facts: Facts) -> Trust:
    """What a replica has read of these Secrets; proofs need no key."""
    anchors: tuple[x509.Certificate, ...] = tuple(BY_NAME[name] for name in facts.anchors)
    return Trust(bundle_pem(anchors), anchors, None, facts)  # type: ignore[arg-type]


@dataclass
class Cluster:
    """What the API server holds."""

    facts: Facts = field(default_factory=lambda: Facts(NAMES[:1], NAMES[0], "", NAMES[0]))  # type: ignore[arg-type]
    state: State = field(default_factory=State)
    leaves: dict[str, tuple[int, Leaf]] = field(default_factory=dict)
    version: int = 0
    secrets: int = 0
    published: list[Bundle] = field(default_factory=lambda: [tuple(NAMES[:1])])
    requested: bool = False

    def known(self) -> dict[str, Leaf]:
        """Leaves of the rotation that goes on."""
        return {uid: leaf for uid, (started, leaf) in self.leaves.items() if started == self.state.started}


@dataclass
class Replica:
    """An identity: what it has read, and when."""

    facts: Facts
    state: State
    seen: int
    skew: int = 0
    """Of its clock, in seconds."""
    cut_off: bool = False


@dataclass
class Judged:
    """A leader between its reads and its write."""

    version: int
    secrets: int
    at: int
    todo: Step | State | None


@dataclass
class Proxy:
    """A pod's proxy: its bundle by position in what was published, its leaf, and since when it asks for one."""

    pod: Pod
    position: int
    root: str = ""
    end: int = 0
    asks: int | None = None


class Rotation(RuleBasedStateMachine):
    """Two replicas, both of which may lead; pods, kubelets, lost answers, missed events, restarts, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000
        self.cluster = Cluster()
        self.replicas = [Replica(self.cluster.facts, State(), self.now) for _ in range(2)]
        self.judged: list[Judged | None] = [None, None]
        self.proxies: list[Proxy] = []
        self.anchors_made = 1
        self.pods_made = 0

    @initialize(skews=st.tuples(st.integers(-20, 20), st.integers(-20, 20)))
    def two_pods(self, skews: tuple[int, int] = (0, 0)) -> None:
        """Running before anything happens; no clock of a replica is right."""
        for replica, skew in zip(self.replicas, skews, strict=True):
            replica.skew = skew
        for _ in range(2):
            self.pod_starts(0, 0)
            self.asks(len(self.proxies) - 1, 0, lost=False)

    # Pods

    @rule(back=st.integers(0, 3), skew=st.integers(-39, 39))
    def pod_starts(self, back: int, skew: int) -> None:
        """Its kubelet may be late with the bundle, and the API server's clock a minute apart from a replica's."""
        if len(self.proxies) < 5:
            self.pods_made += 1
            pod = Pod(f"uid-{self.pods_made}", f"ns/pod-{self.pods_made}", self.now + skew)
            position = max(0, len(self.cluster.published) - 1 - back)
            self.proxies.append(Proxy(pod, position, asks=self.now))

    @precondition(lambda self: self.proxies)
    @rule(which=st.integers(0, 9))
    def pod_ends(self, which: int) -> None:
        """Deleted."""
        del self.proxies[which % len(self.proxies)]

    @precondition(lambda self: self.proxies)
    @rule(which=st.integers(0, 9), steps=st.integers(1, 3))
    def kubelet_syncs(self, which: int, steps: int) -> None:
        """A proxy reads a newer bundle, and asks for a leaf."""
        proxy = self.proxies[which % len(self.proxies)]
        position = min(proxy.position + steps, len(self.cluster.published) - 1)
        if position != proxy.position:
            proxy.position = position
            proxy.asks = self.now if proxy.asks is None else proxy.asks

    @precondition(lambda self: self.proxies)
    @rule(which=st.integers(0, 9), number=st.integers(0, 1), lost=st.booleans())
    def asks(self, which: int, number: int, lost: bool) -> None:
        """A proxy asks a replica; the answer may be lost."""
        proxy, replica = self.proxies[which % len(self.proxies)], self.replicas[number]
        if proxy.asks is None:
            return
        root = self._sign(proxy, replica)
        if root and not lost and root in self._bundle(proxy):
            proxy.root, proxy.end, proxy.asks = root, self.now + DAY, None

    def _sign(self, proxy: Proxy, replica: Replica) -> str:
        """As server.py does it; empty when it refuses."""
        bundle = self._bundle(proxy)
        if bundle != replica.facts.anchors and not replica.cut_off:
            self._look(replica)
        if self.now >= replica.seen + FRESH_SECONDS:
            return ""
        proof = trust(replica.facts).proof(replica.state, sha(bundle))
        if replica.state.phase is not Phase.IDLE:
            uid, known, now = proxy.pod.uid, self.cluster.known(), self.now + replica.skew
            proved = known[uid].proved if uid in known and known[uid].proof == proof else now
            self.cluster.leaves[uid] = replica.state.started, Leaf(proof, now + DAY, proved)
            self.cluster.version += 1
            replica.state = self.cluster.state
        return replica.facts.issuer if may_issue(replica.state.phase, proof) else ""

    # Identity

    @rule(number=st.integers(0, 1))
    def looks(self, number: int) -> None:
        """By a watch, or by its turn."""
        if not self.replicas[number].cut_off:
            self._look(self.replicas[number])

    @rule(number=st.integers(0, 1), cut_off=st.booleans())
    def loses_sight(self, number: int, cut_off: bool) -> None:
        """Its watches are silent and its reads fail, while it still can ask for TokenReviews; or all is well again."""
        self.replicas[number].cut_off = cut_off

    @rule()
    def wishes(self) -> None:
        """`weft identity rotate`."""
        self.cluster.requested = True

    @rule(number=st.integers(0, 1))
    def leader_judges(self, number: int) -> None:
        """Reads all and decides; its write may come later, or never."""
        cluster, now = self.cluster, self.now + self.replicas[number].skew
        sight = Sight(cluster.known(), [proxy.pod for proxy in self.proxies], now, DAY)
        todo = next_step(cluster.state, cluster.facts, sight, wanted=cluster.requested)
        self.judged[number] = Judged(cluster.version, cluster.secrets, self.now, todo)

    @rule(number=st.integers(0, 1))
    def leader_writes(self, number: int) -> None:
        """A conflict when what it read is no longer what is there."""
        judged, self.judged[number] = self.judged[number], None
        if judged is None or judged.todo is None or self.now > judged.at + WRITE_SECONDS:
            return
        if isinstance(judged.todo, State):
            if judged.version == self.cluster.version:
                self._enter(judged.todo)
        elif judged.secrets == self.cluster.secrets:
            self._change(judged.todo)

    @rule()
    def leader_goes_on(self) -> None:
        """Most steps are not disturbed."""
        self.leader_judges(0)
        self.leader_writes(0)

    def _enter(self, state: State) -> None:
        kept = state.started == self.cluster.state.started
        self.cluster.leaves = dict(self.cluster.leaves) if kept else {}
        self.cluster.requested = False
        self.cluster.state = state
        self.cluster.version += 1

    def _change(self, step: Step) -> None:
        facts, state = self.cluster.facts, self.cluster.state
        if step is Step.ADD:
            name = NAMES[self.anchors_made % len(NAMES)]
            self.anchors_made += 1
            facts = replace(facts, anchors=(*facts.anchors, name), incoming=name)
        elif step is Step.ISSUE:
            facts = replace(facts, issuer=facts.incoming or facts.signer)
        elif step is Step.PROMOTE:
            order = tuple(sorted(facts.anchors, key=lambda name: name != state.new))
            facts = replace(facts, anchors=order, signer=facts.incoming, incoming="")
        else:
            facts = replace(facts, anchors=tuple(name for name in facts.anchors if name != state.old))
        self.cluster.facts = facts
        self.cluster.secrets += 1
        if facts.anchors != self.cluster.published[-1]:
            self.cluster.published.append(facts.anchors)

    # Time

    @rule(seconds=st.sampled_from([1, 10, 30, PROVED_SECONDS, SETTLE_SECONDS, BORN_SECONDS, 3600, DAY]))
    def time_passes(self, seconds: int) -> None:
        """Who asked in vain asks again within 20 s; replicas look every 30 s; leaves are renewed, or end."""
        for number, proxy in enumerate(self.proxies):
            if proxy.asks is not None and self.now + seconds - proxy.asks >= RETRY_SECONDS:
                for replica in (0, 1):
                    self.asks(number, replica, lost=False)
                proxy.asks = self.now if proxy.asks is not None else None
        self.now += seconds
        for replica in self.replicas:
            if seconds >= 30 and not replica.cut_off:
                self._look(replica)
        for proxy in self.proxies:
            if self.now >= proxy.end - DAY * 0.3 and proxy.asks is None:
                proxy.asks = self.now

    def _look(self, replica: Replica) -> None:
        replica.facts, replica.state, replica.seen = self.cluster.facts, self.cluster.state, self.now

    def _bundle(self, proxy: Proxy) -> Bundle:
        return tuple(self.cluster.published[proxy.position])

    @invariant()
    def every_live_leaf_is_believed_by_every_live_proxy(self) -> None:
        """Also with any bundle that a proxy may read next."""
        live = [proxy for proxy in self.proxies if proxy.end > self.now]
        roots = {proxy.root for proxy in live}
        bundles = {bundle for proxy in live for bundle in self.cluster.published[proxy.position :]}
        assert all(roots <= set(bundle) for bundle in bundles), (roots, bundles, self.cluster.state)


Rotation.TestCase.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
TestAnyOrder = Rotation.TestCase


def ended(world: Rotation, *, churn: bool = False) -> int:
    """After how many seconds does the rotation end when all do their part? `churn`: each minute another pod starts."""
    world.wishes()
    for step in range(200):
        world.leader_goes_on()
        if world.cluster.state == State(note="finished"):
            return step * 5
        if churn and step % 12 == 0:
            world.pod_ends(0)
            world.pod_starts(0, 0)
        for number, _ in enumerate(world.proxies):
            world.kubelet_syncs(number, 1)
            world.asks(number, 0, lost=False)
        world.time_passes(5)
    raise AssertionError(world.cluster.state)


def running() -> Rotation:
    """Two pods, and nothing wished yet."""
    world = Rotation()
    world.two_pods()
    return world


def test_a_rotation_ends_with_the_new_anchor_alone() -> None:
    """As soon as both phases have lasted long enough when every proxy answers; the next one begins from there."""
    world = running()
    assert ended(world) < 2 * SETTLE_SECONDS + 60
    assert world.cluster.facts == Facts((NAMES[1],), NAMES[1], "", NAMES[1])
    assert ended(world)
    assert world.cluster.facts.anchors == (NAMES[2],)


def test_a_leaf_of_a_replica_that_knows_nothing_of_the_rotation_is_waited_for() -> None:
    """It looked before a slow write and signs for a minute; to the API server, the pod is a minute younger."""
    world = running()
    unaware = world.replicas[1]
    world.wishes()
    world.leader_judges(0)
    world.now += WRITE_SECONDS
    world.looks(1)
    unaware.cut_off = True
    world.leader_writes(0)
    world.now += FRESH_SECONDS - 1
    world.pod_starts(0, 59)
    world.asks(2, 1, lost=False)
    young = world.proxies[2]
    later = Sight(world.cluster.known(), [young.pod], world.now + 3600, DAY)
    assert (young.root, later.waiting(world.cluster.state)) == (NAMES[0], [young.pod])


def test_no_phase_ends_before_every_replica_knows_of_it() -> None:
    """A minute without a look, and clocks of leaders that are 40 s apart."""
    state = State(Phase.LEAVING, 400, 500, "a", "b")
    assert [Sight({}, [], now, DAY).over(state) for now in (599, 600)] == [False, True]


def test_pods_that_come_and_go_hardly_delay_a_rotation() -> None:
    """Only those whose first leaf may have been of the old anchor are asked for proofs of a certain age."""
    assert ended(running(), churn=True) < SETTLE_SECONDS + BORN_SECONDS + PROVED_SECONDS + 60


@pytest.mark.parametrize(("later", "waits"), [(DAY, True), (DAY + MARGIN_SECONDS, False)])
def test_a_pod_that_never_comes_back_is_waited_for_as_long_as_its_leaf_may_live(later: int, waits: bool) -> None:
    """A day and a margin, no longer."""
    lost, state = Pod("u", "ns/lost", 10), State(Phase.TRUSTING, 1000, 1000)
    assert bool(Sight({}, [lost], 1000 + later, DAY).waiting(state)) is waits


@pytest.mark.parametrize(
    ("state", "facts", "note"),
    [
        (State(Phase.TRUSTING, 1, 1), Facts(("a",), "", "", "a"), "no ca.key"),
        (State(Phase.LEAVING, 1, 1, "a", "b"), Facts(("a",), "a", "", "a"), "by hand"),
    ],
)
def test_a_rotation_that_a_person_undoes_is_given_up(state: State, facts: Facts, note: str) -> None:
    """Without the key, or without the new anchor, it cannot go on; it says so and touches nothing."""
    found = next_step(state, facts, Sight({}, [], 100, DAY), wanted=False)
    assert isinstance(found, State)
    assert found.phase is Phase.IDLE
    assert note in found.note


def test_an_anchor_taken_out_while_it_is_only_trusted_begins_the_rotation_anew() -> None:
    """What proxies proved of the lost one says nothing of the next."""
    state, facts = State(Phase.TRUSTING, 50, 50), Facts(("a",), "a", "", "a")
    sight = Sight({"u": Leaf(Proof.HOLDS_NEW, 999, 60)}, [], 100, DAY)
    assert next_step(state, facts, sight, wanted=False) == State(Phase.TRUSTING, 100, 100)


@pytest.mark.parametrize(
    ("leaf", "born", "waits"),
    [
        (Leaf(Proof.HOLDS_NEW, 9_000, 100), 10, True),
        (Leaf(Proof.HOLDS_NEW, 9_000, 100), 990, True),
        (Leaf(Proof.RESTS_ON_NEW, 9_000, 941), 10, True),
        (Leaf(Proof.RESTS_ON_NEW, 9_000, 941), 500 + BORN_SECONDS, False),
        (Leaf(Proof.RESTS_ON_NEW, 9_000, 940), 10, False),
        (Leaf(Proof.HOLDS_NEW, 399, 100), 10, False),
        (None, 10, True),
        (None, 400 + BORN_SECONDS, False),
    ],
)
def test_leaving_waits_for_each_leaf(leaf: Leaf | None, born: int, waits: bool) -> None:
    """Not on the new anchor, though young too; so new that the answer may be lost: asked again within 20 s, judged by a
    clock 40 s ahead; so new, but the first; sound; ended; never seen; never seen, of a young pod."""
    state = State(Phase.LEAVING, 400, 500, "a", "b")
    sight = Sight({"u": leaf} if leaf else {}, [Pod("u", "ns/p", born)], 1000, DAY)
    assert bool(sight.waiting(state)) is waits
