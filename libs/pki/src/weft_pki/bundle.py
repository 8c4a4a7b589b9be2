"""Trust bundles: PEM certificates one after another, compared by the hash of their bytes."""

import hashlib
from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def parse_certificates(pem: bytes) -> list[x509.Certificate]:
    """The certificates in order; ValueError when there is none or one does not parse."""
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        for certificate in certificates:
            # Parsed when they are asked for: whoever does so later need not be afraid of them.
            certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key()
    except UNREADABLE:
        raise ValueError("holds no PEM certificate, or a broken one") from None
    return certificates


def bundle_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """Certificates as one PEM text, each once, in order."""
    unique = dict.fromkeys(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    return b"".join(unique)


def bundle_hash(pem: bytes) -> bytes:
    """SHA-256 of the bundle's bytes: what a proxy sends in `bundle_sha256`."""
    return hashlib.sha256(pem).digest()


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate, in hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()
