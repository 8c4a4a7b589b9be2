"""The trust in use: followed for ever in the Secrets, taken over only when sound; made when there is none."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from weft_identity import inuse
from weft_identity.events import Events
from weft_identity.faults import FAILURES
from weft_identity.issuer import (
    ANCHOR_CERTIFICATE,
    ANCHOR_KEY,
    SecretData,
    Terms,
    Trust,
    issuer_due,
    make_anchor,
    make_issuer,
    read_trust,
)
from weft_identity.ledger import Ledger
from weft_identity.metrics import Metrics
from weft_identity.overlap import published_roots, require_overlap, root, roots
from weft_identity.rotation import FRESH_SECONDS
from weft_identity.secrets import ANCHOR, ISSUER, Secret, Secrets, new_secret

POLL_SECONDS = 30.0
"""Secrets and phase are read this often even if no watch says a word."""

RETRY_SECONDS = 3.0

OVERLAP_SECONDS = 300.0
"""An anchor that somebody else brought is in the bundle for so long before an issuer under it signs: kubelets carry the
bundle to pods within a minute or two."""


Read = tuple[SecretData | None, SecretData | None]
"""Both Secrets' data: the anchor's and the issuer's."""


class Anchors:
    """The trust in use. `run` follows the Secrets; `ready` is set once there is one; `touch` makes it look at once."""

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
        self._joined: dict[bytes, float] = {}
        """When an anchor came into the bundle."""
        self._touched = asyncio.Event()
        self._looking = asyncio.Lock()
        self._uses: inuse.Uses = ()
        """As the Secret said last: who replaces all of it does not mean them."""
        self._used: tuple[Read, inuse.Uses] | None = None
        self._refused: Read | None = None
        self._log = structlog.get_logger()

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
                async with asyncio.timeout(POLL_SECONDS if seen else RETRY_SECONDS):
                    await self._touched.wait()

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
        began, following = self._clock(), self.trust if self.fresh else None
        # The issuer first: whoever makes both makes it last, so it is never seen without its anchor.
        issuer, anchor = await self._secrets.get(ISSUER), await self._secrets.get(ANCHOR)
        await self._ledger.refresh()
        believed = roots(following.anchors) if following else published_roots(await self._secrets.published())
        self._seen_at = began
        self._uses = self._said(issuer)
        read = anchor.data if anchor else None, issuer.data if issuer else None
        uses = inuse.live(self._uses, self._seconds())
        if (read, uses) == self._used:
            self._sound()
        else:
            await self._judge(read, uses, following, believed)

    async def _judge(self, read: Read, uses: inuse.Uses, following: Trust | None, believed: set[bytes]) -> None:
        try:
            trust = read_trust(_bundle(*read), read[1] or {}, self._now())
            require_overlap(trust, believed)
        except ValueError as error:
            # Judged at every look, as what is not valid yet will be; told once.
            if read != self._refused:
                self._refused = read
                await self._refuse(str(error), missing=read[1] is None)
        else:
            self._sound()
            known = self._used is not None and read == self._used[0]
            trust = trust.keeping(inuse.kept(self._with(following, uses), trust.anchors))
            if following and self._new_to_proxies(trust):
                trust = trust.signing_as(following)
            else:
                self._used = read, uses
            if not (known and self.trust and trust.bundle == self.trust.bundle):
                self._use(trust)

    def _new_to_proxies(self, trust: Trust) -> bool:
        """May proxies lack its anchor? Identity's own rotation asks every one of them before its issuer signs."""
        now = self._clock()
        rotated = trust.facts.issuer == self._ledger.state.new
        return not rotated and now < self._joined.get(root(trust), now) + OVERLAP_SECONDS

    def _said(self, issuer: Secret | None) -> inuse.Uses:
        said = inuse.read(issuer.metadata.annotations) if issuer else None
        return self._uses if said is None else said

    def _with(self, following: Trust | None, uses: inuse.Uses) -> inuse.Uses:
        """Also what this replica has signed under until now."""
        return inuse.used(uses, following.anchor, self._seconds(), self._terms.longest) if following else uses

    def _seconds(self) -> int:
        return int(self._now().timestamp())

    async def note(self) -> None:
        """Writes down which anchors are in use, where that has changed. For the Lease's holder."""
        issuer = await self._secrets.get(ISSUER)
        if issuer is None or self.trust is None:
            return
        uses = inuse.used(self._said(issuer), self.trust.anchor, self._seconds(), self._terms.longest)
        if uses != inuse.read(issuer.metadata.annotations):
            await self._secrets.annotate(issuer, inuse.told(uses))

    async def release(self, anchor: Secret, issuer: Secret) -> None:
        """Writes down that every live leaf rests on the anchor that signs: a rotation has proved it."""
        signer = read_trust(anchor.data, issuer.data, self._now()).anchor
        await self._secrets.annotate(issuer, inuse.told(inuse.used((), signer, 0, 0)))

    def _sound(self) -> None:
        self._refused = None
        self._metrics.issuer_unsound.set(0)

    async def provide(self) -> None:
        """Makes the anchor at the first start only, the issuer when it is absent or due. For the Lease's holder."""
        anchor, issuer = await self._secrets.get(ANCHOR), await self._secrets.get(ISSUER)
        if anchor is None:
            if self.trust or issuer:
                return
            anchor = new_secret(ANCHOR, "Opaque")
            anchor.data = make_anchor(self._terms.trust_domain, self._now(), self._terms.anchor)
            await self._secrets.write(anchor)
        if issuer is None:
            issuer = new_secret(ISSUER, "kubernetes.io/tls")
        elif not issuer_due(issuer.data, self._now()):
            return
        if anchor.data.get(ANCHOR_KEY):
            await self.issue(anchor, issuer)

    async def issue(self, anchor: Secret, issuer: Secret, key: str = ANCHOR_KEY) -> bool:
        """A new issuer into the Secret, signed by the anchor whose key this is; false when that cannot be."""
        try:
            issuer.data = make_issuer(anchor.data, self._terms.trust_domain, self._now(), self._terms.issuer, key)
            read_trust(anchor.data, issuer.data, self._now())
        except ValueError as error:
            self._log.error("issuer not made", reason=str(error))
            return False
        await self._secrets.write(issuer)
        return True

    def _use(self, trust: Trust) -> None:
        joins = self._clock() if self.trust else -OVERLAP_SECONDS
        self._joined = {each: self._joined.get(each, joins) for each in roots(trust.anchors)}
        self.trust = trust
        self.ready.set()
        self._metrics.in_use(trust)
        self._log.info(
            "issuer loaded",
            serial=f"{trust.authority.certificate.serial_number:x}",
            not_after=trust.issuer_expiry.isoformat(),
            anchors=len(trust.anchors),
        )
        self._on_change()

    async def _refuse(self, reason: str, *, missing: bool) -> None:
        if self.trust is None and missing:
            self._log.info("waiting for the issuer", reason=reason)
            return
        self._metrics.issuer_refused.inc()
        self._metrics.issuer_unsound.set(1)
        kept = "what was there before stays in use" if self.trust else "nothing is signed until they are sound"
        self._log.error("Secrets refused", reason=reason, kept=kept)
        await self._events.warn(ISSUER, "SecretRefused", f"{reason}; {kept}")


def _bundle(anchor: SecretData | None, issuer: SecretData | None) -> SecretData:
    """The anchor's Secret; without one, the CA that cert-manager writes beside an issuer."""
    if anchor is not None:
        return anchor
    return {ANCHOR_CERTIFICATE: (issuer or {}).get(ANCHOR_CERTIFICATE, b"")}
