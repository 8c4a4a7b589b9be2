"""Whether what the Secrets hold is taken over, and from when on it signs. Pure.

Three clocks decide: a chain that has ended, or begins later than clocks differ, is refused; one that a late clock may
still take for not valid yet signs when none can; and the issuer of another anchor signs when kubelets have carried that
to the proxies. The bundle is taken over at once: it only adds to what is believed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from weft_pki.issue import CLOCK_SKEW

from weft_identity.inuse import Uses, kept
from weft_identity.issuer import ANCHOR_CERTIFICATE, SecretData, Trust, read_trust
from weft_identity.overlap import require_overlap, root, roots

OVERLAP = timedelta(minutes=5)
"""An anchor that somebody else brought is in the bundle for so long before an issuer under it signs: kubelets carry the
bundle to pods within a minute or two."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)

Joined: TypeAlias = Mapping[bytes, datetime]
"""What proxies verify by, and since when it is in their bundle; empty before there are any."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look finds: both Secrets' data, the anchors in use, and the anchor that a rotation has proved."""

    anchor: SecretData | None
    issuer: SecretData | None
    uses: Uses = ()
    proved: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """It is unsound: what was there before stays."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """The bundle is taken over, and `former` signs until then; without one, nobody does."""

    trust: Trust
    former: Trust | None
    when: datetime


@dataclass(frozen=True, slots=True)
class Take:
    """It is taken over as a whole."""

    trust: Trust


def judge(seen: Seen, former: Trust | None, joined: Joined, now: datetime) -> Refuse | Later | Take:
    """What to make of it; `former`: what signs now."""
    try:
        trust = read_trust(_bundle(seen.anchor, seen.issuer), seen.issuer or {}, now + CLOCK_SKEW)
        require_overlap(trust, joined)
    except ValueError as error:
        return Refuse(str(error))
    trust = trust.keeping(kept(seen.uses, trust.anchors))
    known = trust.facts.issuer == seen.proved or (former is not None and root(former) == root(trust))
    when = max(_valid_for_all(trust), LONG_AGO if known else joined.get(root(trust), now) + OVERLAP)
    if not joined or when <= now:
        return Take(trust)
    return Later(trust.signing_as(former) if former else trust, former, when)


def joined_since(anchors: Iterable[x509.Certificate], joined: Joined, now: datetime) -> Joined:
    """The same for the next look, as this bundle is published now."""
    return {each: joined.get(each, now) for each in roots(anchors)}


def _valid_for_all(trust: Trust) -> datetime:
    return max(each.not_valid_before_utc for each in trust.authority.chain) + CLOCK_SKEW


def _bundle(anchor: SecretData | None, issuer: SecretData | None) -> SecretData:
    """The anchor's Secret; without one, the CA that cert-manager writes beside an issuer."""
    if anchor is not None:
        return anchor
    return {ANCHOR_CERTIFICATE: (issuer or {}).get(ANCHOR_CERTIFICATE, b"")}
