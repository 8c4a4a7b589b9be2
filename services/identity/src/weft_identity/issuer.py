"""What the authority trusts and signs with, and what it signs. Pure: time and keys are arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from cryptography import x509
from weft_pki.bundle import bundle_hash, bundle_pem, fingerprint, parse_certificates
from weft_pki.csr import requested_key
from weft_pki.issue import ANCHOR_LIFETIME, ISSUER_LIFETIME, Authority, der, new_anchor, new_issuer, workload_leaf
from weft_pki.keys import key_pem, load_key, public_bytes
from weft_pki.verify import load_authority, root_of

from weft_identity.rotation import Facts, Phase, Proof, State

SecretData = Mapping[str, bytes]

ANCHOR_CERTIFICATE, ANCHOR_KEY, NEXT_KEY = "ca.crt", "ca.key", "next.key"
ISSUER_CERTIFICATE, ISSUER_KEY = "tls.crt", "tls.key"

LONGEST_LEAF = timedelta(hours=24)

RENEW_AFTER = 2 / 3
"""Anchor and issuer are renewed after this part of their life."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is issued: in which trust domain, and how long each kind of certificate lives."""

    trust_domain: str
    anchor: timedelta
    issuer: timedelta
    leaf: timedelta

    @property
    def longest(self) -> int:
        """Seconds that a leaf may live; also one of the default, which may have held before anybody wrote it down."""
        return int(max(self.leaf, LONGEST_LEAF).total_seconds())


class IssuerExpiredError(Exception):
    """The issuer has ended: nothing can be signed until there is another one."""


@dataclass(frozen=True)
class Trust:
    """The bundle that proxies verify with, and the authority that signs under it."""

    bundle: bytes
    anchors: tuple[x509.Certificate, ...]
    authority: Authority
    facts: Facts

    @property
    def anchor(self) -> x509.Certificate:
        """The one that its leaves rest on."""
        return root_of(self.authority, self.anchors)

    @property
    def issuer_expiry(self) -> datetime:
        """When the issuer ends."""
        return self.authority.ends

    @property
    def first_to_end(self) -> x509.Certificate:
        """Of the anchors."""
        return min(self.anchors, key=lambda anchor: anchor.not_valid_after_utc)

    def knows(self, bundle_sha256: bytes) -> str:
        """Which bundle a proxy says it rests on: "current", "old" or "none"."""
        if not bundle_sha256:
            return "none"
        return "current" if bundle_sha256 == self.bundle_sha256 else "old"

    @cached_property
    def bundle_sha256(self) -> bytes:
        """What a proxy with this very bundle sends."""
        return bundle_hash(self.bundle)

    @cached_property
    def chain(self) -> tuple[bytes, ...]:
        """What a leaf comes with, as DER."""
        return tuple(der(certificate) for certificate in self.authority.chain)

    def same_as(self, other: "Trust | None") -> bool:
        """Is it the same bundle, in the same state of a rotation, and the same authority?"""
        if other is None:
            return False
        return (self.bundle, self.facts, self.chain) == (other.bundle, other.facts, other.chain)

    def signing_as(self, other: "Trust") -> "Trust":
        """This bundle, and the other one's authority."""
        return replace(self, authority=other.authority, facts=replace(self.facts, issuer=other.facts.issuer))

    def keeping(self, others: Sequence[x509.Certificate]) -> "Trust":
        """The same, with these anchors in the bundle too."""
        if not others:
            return self
        anchors = (*self.anchors, *others)
        facts = replace(self.facts, anchors=tuple(map(fingerprint, anchors)))
        return replace(self, bundle=bundle_pem(anchors), anchors=anchors, facts=facts)

    def proof(self, state: State, bundle_sha256: bytes) -> Proof:
        """What a request with this hash, answered by a leaf of this authority, tells of its proxy."""
        new = self.facts.incoming if state.phase is Phase.TRUSTING else state.new
        if new not in self.facts.anchors:
            return Proof.NOTHING
        bundles = self.bundle, added_bundle(self.anchors, new), promoted_bundle(self.anchors, new)
        if bundle_sha256 not in map(bundle_hash, bundles):
            return Proof.NOTHING
        return Proof.RESTS_ON_NEW if self.facts.issuer == new else Proof.HOLDS_NEW


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
    return Trust(bundle, tuple(anchors), authority, _facts(anchor, anchors, authority))


def certify(trust: Trust, csr: bytes, spiffe_id: str, now: datetime, lifetime: timedelta) -> Issued:
    """Signs the request's key, and nothing else of it, for `spiffe_id`; RequestError when the request is unsound."""
    key = requested_key(csr, spiffe_id)
    if now >= trust.issuer_expiry:
        raise IssuerExpiredError(f"the issuer's certificate ended at {trust.issuer_expiry.isoformat()}")
    leaf = workload_leaf(trust.authority, key, spiffe_id, now, lifetime)
    return Issued(der(leaf), trust.chain, leaf.not_valid_after_utc)


def make_anchor(trust_domain: str, now: datetime, length: timedelta = ANCHOR_LIFETIME) -> dict[str, bytes]:
    """Data of a new trust anchor's Secret."""
    anchor = new_anchor(now, length, trust_domain=trust_domain)
    return {ANCHOR_CERTIFICATE: bundle_pem([anchor.certificate]), ANCHOR_KEY: key_pem(anchor.key)}


def make_issuer(
    anchor: SecretData, trust_domain: str, now: datetime, length: timedelta = ISSUER_LIFETIME, key: str = ANCHOR_KEY
) -> dict[str, bytes]:
    """Data of a new issuer's Secret, signed by the anchor; ValueError when the anchor's key is not at hand."""
    issuer = new_issuer(_signer(anchor, key), now, length, trust_domain=trust_domain)
    return {ISSUER_CERTIFICATE: bundle_pem([issuer.certificate]), ISSUER_KEY: key_pem(issuer.key)}


def add_anchor(anchor: SecretData, trust_domain: str, now: datetime, length: timedelta) -> dict[str, bytes]:
    """The anchor's Secret with another anchor behind those that it has, and its key as the next one."""
    fresh = new_anchor(now, length, trust_domain=trust_domain)
    bundle = bundle_pem([*parse_certificates(anchor[ANCHOR_CERTIFICATE]), fresh.certificate])
    return {**anchor, ANCHOR_CERTIFICATE: bundle, NEXT_KEY: key_pem(fresh.key)}


def promote_anchor(anchor: SecretData, new: str) -> dict[str, bytes]:
    """The anchor's Secret with the new anchor before the others, and its key as the one that signs."""
    bundle = promoted_bundle(parse_certificates(anchor[ANCHOR_CERTIFICATE]), new)
    return {ANCHOR_CERTIFICATE: bundle, ANCHOR_KEY: _field(anchor, NEXT_KEY, "trust anchor")}


def drop_anchor(anchor: SecretData, old: str) -> dict[str, bytes]:
    """The anchor's Secret without the old anchor."""
    kept = [each for each in parse_certificates(anchor[ANCHOR_CERTIFICATE]) if fingerprint(each) != old]
    return {**anchor, ANCHOR_CERTIFICATE: bundle_pem(kept)}


def added_bundle(anchors: Sequence[x509.Certificate], new: str) -> bytes:
    """The bundle while the new anchor is only trusted: it comes last."""
    return bundle_pem(sorted(anchors, key=lambda each: fingerprint(each) == new))


def promoted_bundle(anchors: Sequence[x509.Certificate], new: str) -> bytes:
    """The bundle while leaves move to the new anchor: it comes first."""
    return bundle_pem(sorted(anchors, key=lambda each: fingerprint(each) != new))


def issuer_due(issuer: SecretData, now: datetime) -> bool:
    """Is it time for a new issuer? Not when the Secret holds none: that is for a person to look at."""
    try:
        return _aged(parse_certificates(_field(issuer, ISSUER_CERTIFICATE, "issuer"))[0], now)
    except ValueError:
        return False


def anchor_due(trust: Trust, now: datetime) -> bool:
    """Is it time for another anchor than the one that signs? Never for one whose key is kept elsewhere."""
    return any(_aged(each, now) for each in trust.anchors if fingerprint(each) == trust.facts.signer)


def _aged(certificate: x509.Certificate, now: datetime) -> bool:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= start + (end - start) * RENEW_AFTER


def _facts(anchor: SecretData, anchors: Sequence[x509.Certificate], authority: Authority) -> Facts:
    return Facts(
        tuple(map(fingerprint, anchors)),
        _owner(anchor, ANCHOR_KEY, anchors),
        _owner(anchor, NEXT_KEY, anchors),
        fingerprint(root_of(authority, anchors)),
    )


def _owner(anchor: SecretData, key: str, anchors: Sequence[x509.Certificate]) -> str:
    """The anchor that a key of the Secret belongs to; empty when there is no such key, or it is no anchor's."""
    try:
        public = public_bytes(load_key(_field(anchor, key, "trust anchor")).public_key())
    except ValueError:
        return ""
    return next((fingerprint(each) for each in anchors if public_bytes(each.public_key()) == public), "")  # type: ignore[arg-type]


def _signer(anchor: SecretData, key_name: str) -> Authority:
    """The anchor whose key is at hand: while anchors are rotated there are two certificates."""
    certificates = parse_certificates(_field(anchor, ANCHOR_CERTIFICATE, "trust anchor"))
    key = load_key(_field(anchor, key_name, "trust anchor"))
    public = public_bytes(key.public_key())
    for certificate in certificates:
        if public_bytes(certificate.public_key()) == public:  # type: ignore[arg-type]
            return Authority(certificate, key)
    raise ValueError(f"the trust anchor's {key_name} belongs to no certificate of its ca.crt")


def _field(data: SecretData, name: str, what: str) -> bytes:
    if not data.get(name):
        raise ValueError(f"the {what}'s Secret has no {name}")
    return data[name]
