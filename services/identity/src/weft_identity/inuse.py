"""Anchors that leaves may rest on: they stay in the bundle, whoever takes them out of the Secret. Pure.

An annotation of Secret weft-issuer holds them, as replicas come and go. It must be a Secret: what is read there will be
trusted.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from cryptography import x509
from msgspec.structs import replace
from weft_pki.bundle import bundle_pem, parse_certificates

from weft_identity.overlap import roots
from weft_identity.rotation import MARGIN_SECONDS

ANNOTATION = "weft.dev/anchors-in-use"

MOST = 16
"""More are not kept: anchors that change so often in a day are no anchors."""


class Use(msgspec.Struct, frozen=True, omit_defaults=True):
    """An anchor, as PEM, and until when leaves may rest on it, in seconds since the epoch; 0: it signs."""

    certificate: str
    until: int = 0
    lifetime: int = 0
    """Of a leaf that it signs, in seconds; 0: nobody has written it down."""
    former: int = 0
    """Until when leaves may live that it signed when the lifetime was longer; 0: there are none."""

    @property
    def root(self) -> set[bytes]:
        """What it verifies by."""
        return roots(self.anchor)

    @property
    def anchor(self) -> list[x509.Certificate]:
        """Its certificate."""
        return parse_certificates(self.certificate.encode())


Uses = tuple[Use, ...]
_USES = msgspec.json.Decoder(Uses)


def read(annotations: Mapping[str, str]) -> Uses | None:
    """What the Secret's annotations say; None when they say nothing, or nothing that can be read."""
    try:
        uses = _USES.decode(annotations[ANNOTATION])
        return uses if all(use.root for use in uses) else None
    except (KeyError, ValueError, RecursionError):
        return None


def told(uses: Uses) -> dict[str, str]:
    """The annotation that says so."""
    return {ANNOTATION: msgspec.json.encode(uses).decode()}


def used(before: Uses, signer: x509.Certificate, now: int, longest: int) -> Uses:
    """What is in use as this anchor signs, whichever did before; a leaf lives `longest` seconds at most.

    Other replicas change to it at moments of their own, and clocks differ: the margin has room for both.
    """
    signs, others = roots([signer]), []
    signing = Use(bundle_pem([signer]).decode())
    for use in before:
        if use.root == signs:
            lifetime = 0 if use.until else use.lifetime
            signing = replace(signing, lifetime=lifetime, former=max(use.former, use.until - MARGIN_SECONDS))
        else:
            others.append(use if use.until else replace(use, until=_ends(use, now, longest)))
    return (_shortened(signing, now, longest), *live(others, now))[:MOST]


def _ends(use: Use, now: int, longest: int) -> int:
    return max(now + max(use.lifetime, longest), use.former) + MARGIN_SECONDS


def _shortened(use: Use, now: int, longest: int) -> Use:
    """As its leaves live so long from now on; what was signed before may live longer."""
    former = max(use.former, now + use.lifetime if use.lifetime > longest else 0)
    return replace(use, lifetime=longest, former=former if former > now + longest else 0)


def alone(uses: Uses, signer: x509.Certificate) -> Uses:
    """Only the anchor that signs, as it is written down."""
    return tuple(use for use in uses if use.root == roots([signer])) or (Use(bundle_pem([signer]).decode()),)


def longest_since(uses: Uses, since: int) -> int:
    """How many seconds from then leaves may live that were signed before."""
    return max((max(use.lifetime, use.former - since) for use in uses), default=0)


def live(uses: Iterable[Use], now: int) -> Uses:
    """Those that are still in use."""
    return tuple(use for use in uses if not use.until or now < use.until)


def kept(uses: Uses, anchors: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Anchors in use that are not among these."""
    return [anchor for use in uses if use.root.isdisjoint(roots(anchors)) for anchor in use.anchor]
