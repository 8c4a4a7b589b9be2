"""Issuing: trust anchor, issuer, workload leaf (SPIFFE X.509-SVID), serving certificate."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from weft_pki.keys import PrivateKey, PublicKey, new_key

ANCHOR_LIFETIME = timedelta(days=365)
ISSUER_LIFETIME = timedelta(days=30)

CLOCK_SKEW = timedelta(seconds=40)
"""Certificates are valid from this long before they are made: two clocks, each wrong by 20 s, differ by as much."""


@dataclass(frozen=True)
class Authority:
    """A certificate that signs, its key, and the intermediates between it and an anchor (nearest first)."""

    certificate: x509.Certificate
    key: PrivateKey
    intermediates: tuple[x509.Certificate, ...] = ()

    @cached_property
    def leaves(self) -> x509.CertificateBuilder:
        """What all workload leaves of this issuer have in common; the most costly part to make."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return (
            _end_entity(x509.CertificateBuilder())
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )

    @cached_property
    def ends(self) -> datetime:
        """When nothing signed by it is valid any more."""
        return self.certificate.not_valid_after_utc

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What a leaf is presented with: the issuer, then its intermediates; the anchor never."""
        return (self.certificate, *self.intermediates)


@dataclass(frozen=True, slots=True)
class Lifetime:
    """From when until when a certificate is valid."""

    start: datetime
    end: datetime


def lifetime(now: datetime, length: timedelta, cap: datetime | None = None) -> Lifetime:
    """Valid for `length` from `now` (clock skew allowed for), never longer than `cap`, the issuer's own end."""
    end = now + length
    return Lifetime(now - CLOCK_SKEW, min(end, cap) if cap else end)


def new_anchor(
    now: datetime, length: timedelta = ANCHOR_LIFETIME, name: str = "weft trust anchor", trust_domain: str | None = None
) -> Authority:
    """A self-signed root."""
    key = new_key()
    builder = _authority(_name(name), key.public_key(), lifetime(now, length), None, trust_domain)
    return Authority(_sign(builder.issuer_name(_name(name)), key, key.public_key()), key)


def new_issuer(
    anchor: Authority,
    now: datetime,
    length: timedelta = ISSUER_LIFETIME,
    name: str = "weft issuer",
    trust_domain: str | None = None,
) -> Authority:
    """An issuer signed by the anchor; it signs leaves only (path length 0)."""
    key = new_key()
    span = lifetime(now, length, anchor.certificate.not_valid_after_utc)
    return Authority(_sign_by(anchor, _authority(_name(name), key.public_key(), span, 0, trust_domain)), key)


def workload_leaf(
    issuer: Authority, key: PublicKey, spiffe_id: str, now: datetime, length: timedelta
) -> x509.Certificate:
    """An X.509-SVID: empty subject, so the SAN is critical (RFC 5280, 4.2.1.6), and holds one URI and nothing else."""
    builder = _about(issuer.leaves, key, lifetime(now, length, issuer.ends))
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)])
    return builder.add_extension(san, critical=True).sign(issuer.key, hashes.SHA256())


def serving_certificate(
    issuer: Authority, key: PublicKey, dns_names: Sequence[str], now: datetime, length: timedelta
) -> x509.Certificate:
    """A TLS server's certificate for these DNS names; the first is the subject too."""
    span = lifetime(now, length, issuer.certificate.not_valid_after_utc)
    san = x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])
    builder = (
        _end_entity(_about(x509.CertificateBuilder().subject_name(_name(dns_names[0])), key, span))
        .add_extension(san, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return _sign_by(issuer, builder)


def der(certificate: x509.Certificate) -> bytes:
    """A certificate as DER."""
    return certificate.public_bytes(Encoding.DER)


def _name(common_name: str) -> x509.Name:
    # Longer than 64 is not a common name (RFC 5280, ub-common-name); names are then read from the SAN alone.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _about(builder: x509.CertificateBuilder, key: PublicKey, span: Lifetime) -> x509.CertificateBuilder:
    return (
        builder.public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(span.start)
        .not_valid_after(span.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority(
    subject: x509.Name, key: PublicKey, span: Lifetime, path_length: int | None, trust_domain: str | None
) -> x509.CertificateBuilder:
    builder = (
        _about(x509.CertificateBuilder().subject_name(subject), key, span)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
    )
    if trust_domain is None:
        return builder
    # A signing certificate's SPIFFE ID has no path (X.509-SVID, section 3.2).
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])
    return builder.add_extension(san, critical=False)


def _end_entity(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True).add_extension(
        _key_usage(digital_signature=True), critical=True
    )


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _sign_by(issuer: Authority, builder: x509.CertificateBuilder) -> x509.Certificate:
    return _sign(builder.issuer_name(issuer.certificate.subject), issuer.key, issuer.key.public_key())


def _sign(builder: x509.CertificateBuilder, key: PrivateKey, issuer_key: PublicKey) -> x509.Certificate:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    return builder.add_extension(identifier, critical=False).sign(key, hashes.SHA256())
