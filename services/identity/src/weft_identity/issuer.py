"""What the authority trusts and signs with, and what it signs. Pure: time and keys are arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from weft_pki.bundle import bundle_hash, bundle_pem, parse_certificates
from weft_pki.csr import requested_key
from weft_pki.issue import Authority, der, new_anchor, new_issuer, workload_leaf
from weft_pki.keys import key_pem, load_key, public_bytes
from weft_pki.verify import load_authority

SecretData = Mapping[str, bytes]

ANCHOR_CERTIFICATE, ANCHOR_KEY = "ca.crt", "ca.key"
ISSUER_CERTIFICATE, ISSUER_KEY = "tls.crt", "tls.key"

RENEW_AFTER = 2 / 3
"""An issuer is renewed after this part of its life."""


class IssuerExpiredError(Exception):
    """The issuer has ended: nothing can be signed until there is another one."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The bundle that proxies verify with, and the authority that signs under it."""

    bundle: bytes
    authority: Authority
    anchor_expiry: datetime

    @property
    def issuer_expiry(self) -> datetime:
        """When the issuer ends."""
        return self.authority.certificate.not_valid_after_utc

    def knows(self, bundle_sha256: bytes) -> str:
        """Which bundle a proxy says it rests on: "current", "old" or "none"."""
        if not bundle_sha256:
            return "none"
        return "current" if bundle_sha256 == bundle_hash(self.bundle) else "old"


@dataclass(frozen=True, slots=True)
class Issued:
    """A signed certificate, as CertifyResponse carries it."""

    leaf: bytes
    chain: tuple[bytes, ...]
    not_after: datetime


def read_trust(anchor: SecretData, issuer: SecretData, now: datetime) -> Trust:
    """Both Secrets' data, checked; ValueError says what is wrong and holds no key."""
    bundle = _field(anchor, ANCHOR_CERTIFICATE, "trust anchor")
    anchors = parse_certificates(bundle)
    certificates = parse_certificates(_field(issuer, ISSUER_CERTIFICATE, "issuer"))
    authority = load_authority(certificates, _field(issuer, ISSUER_KEY, "issuer"), anchors, now)
    return Trust(bundle, authority, min(anchor.not_valid_after_utc for anchor in anchors))


def certify(trust: Trust, csr: bytes, spiffe_id: str, now: datetime, lifetime: timedelta) -> Issued:
    """Signs the request's key, and nothing else of it, for `spiffe_id`; RequestError when the request is unsound."""
    key = requested_key(csr, spiffe_id)
    if now >= trust.issuer_expiry:
        raise IssuerExpiredError(f"the issuer's certificate ended at {trust.issuer_expiry.isoformat()}")
    leaf = workload_leaf(trust.authority, key, spiffe_id, now, lifetime)
    chain = tuple(der(certificate) for certificate in trust.authority.chain)
    return Issued(der(leaf), chain, leaf.not_valid_after_utc)


def make_anchor(trust_domain: str, now: datetime) -> dict[str, bytes]:
    """Data of a new trust anchor's Secret."""
    anchor = new_anchor(now, trust_domain=trust_domain)
    return {ANCHOR_CERTIFICATE: bundle_pem([anchor.certificate]), ANCHOR_KEY: key_pem(anchor.key)}


def make_issuer(anchor: SecretData, trust_domain: str, now: datetime) -> dict[str, bytes]:
    """Data of a new issuer's Secret, signed by the anchor; ValueError when the anchor's key is not at hand."""
    issuer = new_issuer(_signer(anchor), now, trust_domain=trust_domain)
    return {ISSUER_CERTIFICATE: bundle_pem([issuer.certificate]), ISSUER_KEY: key_pem(issuer.key)}


def issuer_due(issuer: SecretData, now: datetime) -> bool:
    """Is it time for a new issuer? Not when the Secret holds none: that is for a person to look at."""
    try:
        certificate = parse_certificates(_field(issuer, ISSUER_CERTIFICATE, "issuer"))[0]
    except ValueError:
        return False
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= start + (end - start) * RENEW_AFTER


def _signer(anchor: SecretData) -> Authority:
    """The anchor whose key is at hand: while anchors are rotated there are two certificates."""
    certificates = parse_certificates(_field(anchor, ANCHOR_CERTIFICATE, "trust anchor"))
    key = load_key(_field(anchor, ANCHOR_KEY, "trust anchor"))
    public = public_bytes(key.public_key())
    for certificate in certificates:
        if public_bytes(certificate.public_key()) == public:  # type: ignore[arg-type]
            return Authority(certificate, key)
    raise ValueError("the trust anchor's ca.key belongs to no certificate of its ca.crt")


def _field(data: SecretData, name: str, what: str) -> bytes:
    if not data.get(name):
        raise ValueError(f"the {what}'s Secret has no {name}")
    return data[name]
