"""Changing the trust anchor under traffic: which step is next, and for whom it waits. Pure.

A proxy takes a new bundle and a new leaf at times of its own. From anchor A to B, each phase waits for the slowest:

- trusting: the bundle is A+B, leaves rest on A. Ends when every live proxy has told, by its hash, that it holds B.
- signing: the issuer is made under B. Then the bundle becomes B+A: other bytes, so every proxy asks for a leaf anew.
- leaving: ends when every live leaf rests on B.
- closing: the bundle becomes B.

Who is live: every pod with a proxy. What its leaf is: what was recorded when it was signed. Without a record, a pod
is waited for until no leaf from before the rotation can be left. Keys never leave a proxy's process: one that does
not run has no leaf.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum

from msgspec import Struct
from msgspec.structs import replace

FRESH_SECONDS = 60
"""A replica that has not seen Secrets and phase for longer than this signs nothing: it may have missed a step."""

_CLOCKS_SECONDS = 40
"""Clocks of replicas differ by less."""

SETTLE_SECONDS = FRESH_SECONDS + _CLOCKS_SECONDS
"""No phase is shorter: a replica may know of it so late."""

PROVED_SECONDS = 20 + _CLOCKS_SECONDS
"""No proof that a leaf was signed is believed younger: the answer may be lost, and the proxy asks again within 20 s."""

BORN_SECONDS = FRESH_SECONDS + 30 + 60
"""Whoever is born so long after a phase began was never given a leaf by a replica that did not know of it: such a
replica may be late by the first, the write that began the phase by 30 s, and the API server's clock by 60 s."""

MARGIN_SECONDS = 600
"""A leaf ended so long ago has ended for everybody, whatever the clock of a pod says."""


class Phase(StrEnum):
    """Where a rotation stands."""

    IDLE = "idle"
    TRUSTING = "trusting"
    SIGNING = "signing"
    LEAVING = "leaving"
    CLOSING = "closing"


class Proof(IntEnum):
    """What a certificate's request and its leaf tell of the proxy."""

    NOTHING = 0
    HOLDS_NEW = 1
    """Its bundle holds the new anchor."""
    RESTS_ON_NEW = 2
    """And its leaf rests on it."""


class Step(Enum):
    """A change of a Secret."""

    ADD = "the new anchor joins the bundle"
    ISSUE = "an issuer under the new anchor"
    PROMOTE = "the new anchor comes first and its key signs"
    DROP = "the old anchor leaves the bundle"


class State(Struct, frozen=True, omit_defaults=True):
    """The phase, as every replica and the CLI read it. Times are seconds since the epoch; anchors are fingerprints."""

    phase: Phase = Phase.IDLE
    started: int = 0
    since: int = 0
    old: str = ""
    new: str = ""
    note: str = ""
    """How the last rotation ended."""

    def enter(self, phase: Phase, now: int, **changes: str) -> "State":
        """The next phase."""
        return replace(self, phase=phase, since=now, **changes)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the Secrets hold, by fingerprint. Empty: not there."""

    anchors: tuple[str, ...]
    signer: str
    """Whose key is `ca.key`."""
    incoming: str
    """Whose key is `next.key`."""
    issuer: str
    """The anchor that the issuer rests on."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """The newest leaf of a pod's proxy. Times are seconds since the epoch."""

    proof: Proof
    not_after: int
    proved: int
    """Since when its leaves prove as much."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with a proxy."""

    uid: str
    name: str
    """namespace/name"""
    born: int
    """The proxy has no leaf from before: when the pod was created, or, while the proxy does not run, looked at."""


_NEEDED = {Phase.TRUSTING: Proof.HOLDS_NEW, Phase.LEAVING: Proof.RESTS_ON_NEW}
_ALLOWED = {
    Phase.SIGNING: Proof.HOLDS_NEW,
    Phase.LEAVING: Proof.HOLDS_NEW,
    Phase.CLOSING: Proof.RESTS_ON_NEW,
}


def may_issue(phase: Phase, proof: Proof) -> bool:
    """May a leaf that proves no more than this still be given away?"""
    return proof >= _ALLOWED.get(phase, Proof.NOTHING)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a decision rests on: leaves by uid of their pod, and the pods; `longest`: seconds that a leaf may live."""

    leaves: Mapping[str, Leaf]
    pods: Sequence[Pod]
    now: int
    longest: int

    def waiting(self, state: State) -> list[Pod]:
        """Pods for which the phase waits."""
        return [pod for pod in self.pods if not self._settled(state, pod)]

    def over(self, state: State) -> bool:
        """May the phase end?"""
        return self.now >= state.since + SETTLE_SECONDS and not self.waiting(state)

    def _settled(self, state: State, pod: Pod) -> bool:
        leaf = self.leaves.get(pod.uid)
        if leaf is None:
            unrecorded_end = state.started + self.longest + MARGIN_SECONDS
            return self.now >= unrecorded_end or pod.born >= state.started + BORN_SECONDS
        if self.now >= leaf.not_after + MARGIN_SECONDS:
            return True
        if leaf.proof < _NEEDED.get(state.phase, Proof.NOTHING):
            return False
        # That a bundle is held is certain once its hash was sent; that a leaf arrived is not. Young pods had no other.
        certain = state.phase is not Phase.LEAVING or pod.born >= state.since + BORN_SECONDS
        return certain or self.now >= leaf.proved + PROVED_SECONDS


def next_step(state: State, facts: Facts, sight: Sight, *, wanted: bool) -> Step | State | None:
    """What to do now: change a Secret, enter a phase, or wait (None). One thing at a time: each may be the last one."""
    if state.phase is Phase.IDLE:
        return State(Phase.TRUSTING, sight.now, sight.now) if wanted else None
    if state.phase is Phase.TRUSTING:
        return _trusting(state, facts, sight)
    if state.new not in facts.anchors:
        return State(note="given up: the new anchor was taken out of the Secret by hand")
    if state.phase is Phase.CLOSING:
        return Step.DROP if state.old in facts.anchors else State(note="finished")
    return _moving(state, facts, sight)


def _trusting(state: State, facts: Facts, sight: Sight) -> Step | State | None:
    if not facts.signer:
        return State(note="given up: Secret weft-trust-anchor has no ca.key")
    if not facts.incoming:
        # What was proved of an anchor that is gone from the Secret says nothing of the next one.
        proved = any(leaf.proof for leaf in sight.leaves.values())
        return State(Phase.TRUSTING, max(sight.now, state.started + 1), sight.now) if proved else Step.ADD
    if not sight.over(state):
        return None
    return state.enter(Phase.SIGNING, sight.now, old=facts.signer, new=facts.incoming)


def _moving(state: State, facts: Facts, sight: Sight) -> Step | State | None:
    """Signing and leaving: also an issuer that somebody put back is made anew."""
    if facts.issuer != state.new:
        return Step.ISSUE
    if facts.signer != state.new:
        return Step.PROMOTE
    if state.phase is Phase.SIGNING:
        return state.enter(Phase.LEAVING, sight.now)
    return state.enter(Phase.CLOSING, sight.now) if sight.over(state) else None
