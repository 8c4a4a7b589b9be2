"""Carries out rotations of the trust anchor, one step after another. Work of the Lease's holder."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from weft_kube.api import KubeApi

from weft_identity import inuse
from weft_identity.anchors import Anchors
from weft_identity.faults import FAILURES
from weft_identity.issuer import (
    ANCHOR_KEY,
    NEXT_KEY,
    Terms,
    add_anchor,
    anchor_due,
    drop_anchor,
    promote_anchor,
    read_trust,
)
from weft_identity.ledger import MAX_PODS, Ledger
from weft_identity.maker import Maker
from weft_identity.metrics import Metrics
from weft_identity.pods import live_pods
from weft_identity.rotation import Facts, Phase, Pod, Sight, State, Step, next_step
from weft_identity.secrets import ANCHOR, ISSUER, Secret, Secrets

LOOK_SECONDS = 5.0
"""Between two looks at a rotation that waits."""

IDLE_SECONDS = 60.0
"""Between two looks at the anchor's age."""

LIST_SECONDS = 60.0
"""While pods that were seen are waited for, all pods are listed this often, to leave out those that are gone; at every
look when one page holds them."""

CROWDED = f"more than {MAX_PODS} pods have a proxy; rotate by hand (SECURITY.md)"


class Rotator:
    """One `step` at a time: it reads all anew, and each write names the version that it read."""

    def __init__(
        self,
        api: KubeApi,
        secrets: Secrets,
        anchors: Anchors,
        maker: Maker,
        ledger: Ledger,
        *,
        metrics: Metrics,
        terms: Terms,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._secrets = secrets
        self._anchors = anchors
        self._maker = maker
        self._ledger = ledger
        self._metrics = metrics
        self._terms = terms
        self._now = now
        self._pods: list[Pod] = []
        self._gone: set[str] = set()
        self._uses: inuse.Uses = ()
        self._crowded = False
        self._list_at = 0.0
        self._log = structlog.get_logger()

    async def run(self, wished: asyncio.Event) -> None:
        """Rotates when the anchor is due or somebody wishes it, for ever."""
        while True:
            wished.clear()
            try:
                if await self.step():
                    continue
            except FAILURES as error:
                self._log.warning("rotation: no step", reason=str(error) or type(error).__name__)
            idle = self._ledger.state.phase is Phase.IDLE
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS if idle else LOOK_SECONDS):
                    await wished.wait()

    async def step(self) -> bool:
        """Does what is next; False when there is nothing to do but wait."""
        # First the ledger: a leaf written down after this, of a pod not yet listed, makes the decision a conflict.
        await self._ledger.refresh()
        version = self._ledger.version
        anchor, issuer = await self._secrets.get(ANCHOR), await self._secrets.get(ISSUER)
        if anchor is None or issuer is None:
            return False
        try:
            trust = read_trust(anchor.data, issuer.data, self._now())
        except ValueError:
            return False  # refused aloud by whoever follows the Secrets
        self._uses = inuse.read(issuer.metadata.annotations) or ()
        wanted = self._ledger.requested or anchor_due(trust, self._now())
        pods = await self._live(wanted=wanted)
        todo = self._next(trust.facts, pods, wanted=wanted)
        if isinstance(todo, Step):
            return await self._change(todo, anchor, issuer)
        if isinstance(todo, State):
            await self._enter(todo, pods, version)
            return True
        await self._show(pods)
        return False

    async def _live(self, *, wanted: bool) -> list[Pod]:
        """The pods to wait for. Those of an earlier list will do as long as the phase cannot end by them."""
        state, now = self._ledger.state, int(self._now().timestamp())
        if state.phase is Phase.IDLE and not wanted:
            return []
        if now >= self._list_at or not self._sight(self._pods).waiting(state):
            self._pods, pages = await live_pods(self._api, now)
            # The ledger was read before: whoever was certified and is not listed has ended.
            self._gone = self._ledger.leaves.keys() - {pod.uid for pod in self._pods}
            self._list_at = now + (LIST_SECONDS if pages > 1 else 0)
        return self._pods

    def _next(self, facts: Facts, pods: list[Pod], *, wanted: bool) -> Step | State | None:
        state = self._ledger.state
        crowded = state.phase is Phase.IDLE and len(pods) > MAX_PODS
        self._tell_crowded(crowded)
        if crowded:
            return State(note=f"not begun: {CROWDED}") if self._ledger.requested else None
        return next_step(state, facts, self._sight(pods), wanted=wanted)

    def _tell_crowded(self, crowded: bool) -> None:
        self._metrics.rotation_blocked.set(crowded)
        if crowded and not self._crowded:
            self._log.error("the trust anchor is due for rotation", reason=CROWDED)
        self._crowded = crowded

    def _sight(self, pods: list[Pod]) -> Sight:
        now = int(self._now().timestamp())
        longest = max(self._terms.longest, inuse.longest_since(self._uses, self._ledger.state.started or now))
        return Sight(self._ledger.leaves, pods, now, longest)

    async def _enter(self, state: State, pods: list[Pod], version: str) -> None:
        await self._ledger.enter(state, {pod.uid for pod in pods}, version)
        self._metrics.rotation_phase(state.phase)
        self._metrics.rotation_waiting.set(0)
        self._log.info("rotation", phase=state.phase, note=state.note)

    async def _show(self, pods: list[Pod]) -> None:
        state = self._ledger.state
        self._metrics.rotation_phase(state.phase)
        if state.phase is Phase.IDLE:
            return
        late = sorted(pod.name for pod in self._sight(pods).waiting(state))
        self._metrics.rotation_waiting.set(len(late))
        await self._ledger.show({"pods": len(pods), "waiting": len(late), "names": late[:10]}, self._gone)

    async def _change(self, step: Step, anchor: Secret, issuer: Secret) -> bool:
        state, now = self._ledger.state, self._now()
        self._log.info("rotation", phase=state.phase, step=step.value)
        if step is Step.ISSUE:
            done = await self._maker.issue(anchor, issuer, NEXT_KEY if anchor.data.get(NEXT_KEY) else ANCHOR_KEY)
        else:
            done = True
            changes: dict[Step, Callable[[], dict[str, Any]]] = {
                Step.ADD: lambda: add_anchor(anchor.data, self._terms.trust_domain, now, self._terms.anchor),
                Step.PROMOTE: lambda: promote_anchor(anchor.data, state.new),
                Step.DROP: lambda: drop_anchor(anchor.data, state.old),
            }
            anchor.data = changes[step]()
            if step is Step.DROP:
                await self._anchors.release(anchor, issuer)
            await self._secrets.write(anchor)
        await self._anchors.refresh()
        return done
