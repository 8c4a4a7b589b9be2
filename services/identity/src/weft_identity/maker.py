"""Makes anchor and issuer, where the key for it is at hand. Work of the Lease's holder."""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from weft_identity.issuer import ANCHOR_KEY, Terms, issuer_due, make_anchor, make_issuer, read_trust
from weft_identity.secrets import ANCHOR, ISSUER, Secret, Secrets, new_secret


class Maker:
    """Writes the Secrets; whoever follows them takes them over."""

    def __init__(
        self, secrets: Secrets, terms: Terms, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._secrets = secrets
        self._terms = terms
        self._now = now
        self._log = structlog.get_logger()

    async def provide(self, *, trusted: bool) -> None:
        """Makes the anchor only when nothing is trusted yet, the issuer when it is absent or due."""
        anchor, issuer = await self._secrets.get(ANCHOR), await self._secrets.get(ISSUER)
        if anchor is None:
            if trusted or issuer:
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
