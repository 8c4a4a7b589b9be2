"""The trust in use: followed for ever in the Secrets, taken over only when sound, and told to other replicas."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from weft_identity import inuse
from weft_identity.events import Events
from weft_identity.faults import FAILURES
from weft_identity.issuer import SecretData, Terms, Trust, read_trust
from weft_identity.ledger import Ledger
from weft_identity.metrics import Metrics
from weft_identity.overlap import published_roots
from weft_identity.rotation import FRESH_SECONDS
from weft_identity.secrets import ANCHOR, ISSUER, Secret, Secrets
from weft_identity.takeover import LONG_AGO, Joined, Later, Refuse, Seen, Take, joined_since, judge

POLL_SECONDS = 30.0
"""Secrets and phase are read this often even if no watch says a word."""

RETRY_SECONDS = 3.0


class Anchors:
    """The trust in use. `run` follows the Secrets; `ready` is set once it signs; `touch` makes it look at once."""

    def __init__(
        self,
        secrets: Secrets,
        ledger: Ledger,
        events: Events,
        metrics: Metrics,
        terms: Terms,
        *,
        on_change: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trust: Trust | None = None
        self.ready = asyncio.Event()
        self._secrets = secrets
        self._ledger = ledger
        self._events = events
        self._metrics = metrics
        self._terms = terms
        self._on_change = on_change
        self._now = now
        self._clock = clock
        self._seen_at = clock() - FRESH_SECONDS
        self._joined: Joined = {}
        self._signs_at = LONG_AGO
        """Until then the Secrets' issuer waits: `judge` says why."""
        self._touched = asyncio.Event()
        self._looking = asyncio.Lock()
        self._uses: inuse.Uses = ()
        """As the Secret said last: who replaces all of it does not mean them."""
        self._taken: Seen | None = None
        self._refused: tuple[SecretData | None, SecretData | None] | None = None
        self._log = structlog.get_logger()

    @property
    def signing(self) -> Trust | None:
        """What certificates are signed under; None while its anchor is only on its way to the proxies."""
        return self.trust if self.ready.is_set() else None

    @property
    def fresh(self) -> bool:
        """Were Secrets and phase seen lately?"""
        return self._clock() < self._seen_at + FRESH_SECONDS

    def touch(self) -> None:
        """A Secret or the phase may have changed."""
        self._touched.set()

    async def run(self) -> None:
        """Reads all when touched and every 30 s, for ever."""
        while True:
            self._touched.clear()
            seen = await self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause() if seen else RETRY_SECONDS):
                    await self._touched.wait()

    def _pause(self) -> float:
        """Until the next look: an issuer that waits signs in time."""
        waits = (self._signs_at - self._now()).total_seconds()
        return min(POLL_SECONDS, waits) if waits > 0 else POLL_SECONDS

    async def catch_up(self) -> None:
        """Looks now: a proxy knows a bundle that this replica does not. Those who wait together share a look."""
        asked = self._clock()
        async with self._looking:
            if self._seen_at <= asked:
                await self._look()

    async def _look(self) -> bool:
        try:
            await self.refresh()
        except FAILURES as error:
            self._log.warning("trust not read", reason=str(error) or type(error).__name__)
            return False
        return True

    async def refresh(self) -> None:
        """Takes over what the Secrets hold, if it is new and sound; else keeps what is in use."""
        began, trust = self._clock(), self.trust if self.fresh else None
        # The issuer first: whoever makes both makes it last, so it is never seen without its anchor.
        issuer, anchor = await self._secrets.get(ISSUER), await self._secrets.get(ANCHOR)
        await self._ledger.refresh()
        self._uses = self._said(issuer)
        joined = self._joined if trust else await self._published()
        self._seen_at = began
        uses = inuse.live(self._uses, self._seconds())
        seen = Seen(anchor.data if anchor else None, issuer.data if issuer else None, uses, self._ledger.state.new)
        if seen == self._taken:
            self._sound()
        else:
            await self._take_over(seen, self.signing if trust else None, joined)

    async def _published(self) -> Joined:
        """What proxies verify by, for a replica that has not followed; what has signed reached them long ago."""
        published, signed = await self._secrets.published(), {each for use in self._uses for each in use.root}
        since = published.since or self._now()
        return {each: LONG_AGO if each in signed else since for each in published_roots(published.bundle)}

    async def _take_over(self, seen: Seen, former: Trust | None, joined: Joined) -> None:
        verdict = judge(replace(seen, uses=self._with(former, seen.uses)), former, joined, self._now())
        if isinstance(verdict, Refuse):
            await self._refuse(verdict.reason, seen)
            return
        self._sound()
        self._taken, self._signs_at = (None, verdict.when) if isinstance(verdict, Later) else (seen, LONG_AGO)
        self._joined = joined_since(verdict.trust.anchors, joined, self._now())
        self._use(verdict.trust, signs=former is not None or isinstance(verdict, Take))

    def _said(self, issuer: Secret | None) -> inuse.Uses:
        said = inuse.read(issuer.metadata.annotations) if issuer else None
        return self._uses if said is None else said

    def _with(self, former: Trust | None, uses: inuse.Uses) -> inuse.Uses:
        """Also what this replica has signed under until now."""
        return inuse.used(uses, former.anchor, self._seconds(), self._terms.longest) if former else uses

    def _seconds(self) -> int:
        return int(self._now().timestamp())

    async def note(self) -> None:
        """Writes down which anchors are in use, where that has changed. For the Lease's holder."""
        issuer = await self._secrets.get(ISSUER)
        if issuer is None or self.signing is None:
            return
        uses = inuse.used(self._said(issuer), self.signing.anchor, self._seconds(), self._terms.longest)
        if uses != inuse.read(issuer.metadata.annotations):
            await self._secrets.annotate(issuer, inuse.told(uses))

    async def release(self, anchor: Secret, issuer: Secret) -> None:
        """Writes down that every live leaf rests on the anchor that signs: a rotation has proved it."""
        signer = read_trust(anchor.data, issuer.data, self._now()).anchor
        await self._secrets.annotate(issuer, inuse.told(inuse.alone(self._said(issuer), signer)))

    def _sound(self) -> None:
        self._refused = None
        self._metrics.issuer_unsound.set(0)

    def _use(self, trust: Trust, *, signs: bool) -> None:
        if signs:
            self.ready.set()
        else:
            self.ready.clear()
        if trust.same_as(self.trust):
            return
        self.trust = trust
        self._metrics.in_use(trust)
        self._log.info(
            "issuer loaded" if signs else "issuer waits for its anchor to reach the proxies",
            serial=f"{trust.authority.certificate.serial_number:x}",
            not_after=trust.issuer_expiry.isoformat(),
            anchors=len(trust.anchors),
        )
        self._on_change()

    async def _refuse(self, reason: str, seen: Seen) -> None:
        """Judged at every look, as what is not valid yet will be; told once."""
        if self._refused == (seen.anchor, seen.issuer):
            return
        self._refused = seen.anchor, seen.issuer
        if self.trust is None and seen.issuer is None:
            self._log.info("waiting for the issuer", reason=reason)
            return
        self._metrics.issuer_refused.inc()
        self._metrics.issuer_unsound.set(1)
        kept = "what was there before stays in use" if self.trust else "nothing is signed until they are sound"
        self._log.error("Secrets refused", reason=reason, kept=kept)
        await self._events.warn(ISSUER, "SecretRefused", f"{reason}; {kept}")
