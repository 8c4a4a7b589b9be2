"""When somebody else changes the trust anchor: no proxy may be left that believes none of the new ones. Pure.

What a certificate is verified by is the anchor's name and key: an anchor renewed with the same ones is no other.
"""

from collections.abc import Collection, Iterable

from cryptography import x509
from weft_kube.names import TRUST_BUNDLE
from weft_pki.bundle import parse_certificates
from weft_pki.keys import public_bytes

from weft_identity.issuer import ANCHOR_CERTIFICATE, Trust


def root(trust: Trust) -> bytes:
    """What verifies the leaves of this authority."""
    return _name_and_key(trust.anchor)


def roots(anchors: Iterable[x509.Certificate]) -> set[bytes]:
    """What these anchors verify by."""
    return set(map(_name_and_key, anchors))


def published_roots(bundle: bytes) -> set[bytes]:
    """Those of a published bundle; none when there is none, or somebody has damaged it."""
    try:
        return roots(parse_certificates(bundle))
    except ValueError:
        return set()


def require_overlap(trust: Trust, believed: Collection[bytes]) -> None:
    """ValueError when nothing of what is believed would be so any longer. Before the first start, nothing is."""
    if believed and roots(trust.anchors).isdisjoint(believed):
        raise ValueError(
            "the anchor in use is not among the new ones, so that every connection would break: "
            f"put that of ConfigMap {TRUST_BUNDLE} beside the new one into {ANCHOR_CERTIFICATE} of "
            "Secret weft-trust-anchor"
        )


def _name_and_key(anchor: x509.Certificate) -> bytes:
    return anchor.subject.public_bytes() + public_bytes(anchor.public_key())  # type: ignore[arg-type]
