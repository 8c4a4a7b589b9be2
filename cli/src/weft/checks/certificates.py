"""Certificates as checks look at them: parsed, in time, and signed by whom they should be."""

import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from weft.checks.model import CheckFailedError, Scene, require
from weft.names import NAMESPACE

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def secret(scene: Scene, name: str, key: str = "tls.crt") -> bytes:
    """One value of a Secret of weft's namespace."""
    found = data(scene, name)
    require(found, f"there is no Secret {name} in namespace {NAMESPACE}, or it is empty")
    require(key in found, f"Secret {name} has no {key}")
    return decode(found[key], f"Secret {name}")


def data(scene: Scene, name: str) -> dict[str, str]:
    """What a Secret of weft's namespace holds; nothing without it."""
    found: dict[str, dict[str, str] | None] = scene.kube.find(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}") or {}
    return found.get("data") or {}


def decode(text: str, what: str) -> bytes:
    """Base64 to bytes."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise CheckFailedError(f"{what} is not base64: {error}") from error


def parse(pem: bytes, what: str) -> "list[Certificate]":
    """All certificates of a PEM text, at least one."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CheckFailedError(f"{what} holds no certificate: {error}") from error


def require_valid(certificate: "Certificate", what: str) -> None:
    """Fail outside the certificate's validity."""
    now = datetime.now(UTC)
    require(now >= certificate.not_valid_before_utc, f"{what} is not valid before {certificate.not_valid_before_utc}")
    require(now <= certificate.not_valid_after_utc, f"{what} expired on {certificate.not_valid_after_utc}")


def require_young(certificate: "Certificate", what: str) -> None:
    """Fail when less than a quarter of the certificate's life remains: it is renewed after two thirds."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    require(datetime.now(UTC) <= end - (end - start) / 4, f"the renewal of {what} is overdue: it expires on {end}")


def sha256(certificate: "Certificate") -> str:
    """A certificate's fingerprint in hex."""
    from cryptography.hazmat.primitives import hashes

    return certificate.fingerprint(hashes.SHA256()).hex()


def require_key(certificate: "Certificate", pem: bytes, what: str) -> None:
    """Fail unless the private key belongs to the certificate."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise CheckFailedError(f"the key of {what} is no PEM private key without a password") from None
    require(key.public_key() == certificate.public_key(), f"the key of {what} belongs to another certificate")


def require_issued(certificate: "Certificate", issuers: "list[Certificate]", what: str) -> None:
    """Fail unless one of these issued the certificate (or is it)."""
    require(any(_issued(certificate, issuer) for issuer in issuers), what)


def _issued(certificate: "Certificate", issuer: "Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature

    if certificate == issuer:
        return True
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
