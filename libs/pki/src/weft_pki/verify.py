"""Verifying: chains up to an anchor, and the names of a workload's certificate."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from weft_pki.issue import Authority
from weft_pki.keys import load_key, public_bytes


class VerifyError(ValueError):
    """A certificate is not to be trusted; the message says why."""


def verify_workload(
    leaf: x509.Certificate,
    intermediates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: datetime,
) -> str:
    """The SPIFFE ID of a leaf that chains to an anchor, as X509-SVID, section 5, demands."""
    verifier = PolicyBuilder().store(Store(list(anchors))).time(now).build_client_verifier()
    try:
        verified = verifier.verify(leaf, list(intermediates))
    except VerificationError as error:
        raise VerifyError(f"the chain does not verify: {error}") from None
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    if usage.key_cert_sign or usage.crl_sign:
        raise VerifyError("a leaf may sign neither certificates nor revocations")
    uris = [name.value for name in verified.subjects or [] if isinstance(name, x509.UniformResourceIdentifier)]
    if len(uris) != 1 or not uris[0].startswith("spiffe://"):
        raise VerifyError(f"{len(uris)} URI names instead of one SPIFFE ID")
    return uris[0]


def load_authority(
    certificates: Sequence[x509.Certificate], key: bytes, anchors: Sequence[x509.Certificate], now: datetime
) -> Authority:
    """An issuer as a Secret holds it: its certificate, then intermediates, signed by an anchor, valid now.

    An anchor at the end of the chain (some write it there) is left out.
    """
    chain = [certificate for certificate in certificates if certificate not in anchors]
    valid = [anchor for anchor in anchors if _valid(anchor, now)]
    if not chain:
        raise VerifyError("the issuer is the trust anchor itself (it must be signed by it), or is missing")
    for certificate, parents in zip(chain, [[parent] for parent in chain[1:]] + [valid], strict=True):
        _check_signs(certificate, now)
        if not any(_issued(certificate, parent) for parent in parents):
            subject = certificate.subject.rfc4514_string()
            raise VerifyError(f"{subject} is signed neither by the next certificate nor by a valid anchor")
    issuer_key = load_key(key)
    if public_bytes(issuer_key.public_key()) != public_bytes(chain[0].public_key()):  # type: ignore[arg-type]
        raise VerifyError("the key is not the certificate's")
    return Authority(chain[0], issuer_key, tuple(chain[1:]))


def root_of(authority: Authority, anchors: Sequence[x509.Certificate]) -> x509.Certificate:
    """The anchor that an issuer rests on; VerifyError when it is none of these."""
    for anchor in anchors:
        if _issued(authority.chain[-1], anchor):
            return anchor
    raise VerifyError("the issuer rests on no anchor of the bundle")


def _check_signs(certificate: x509.Certificate, now: datetime) -> None:
    subject = certificate.subject.rfc4514_string()
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        raise VerifyError(f"{subject} is no certificate authority") from None
    if not constraints.ca:
        raise VerifyError(f"{subject} is no certificate authority")
    if not _may_sign(certificate):
        raise VerifyError(f"{subject} has no key usage keyCertSign: nobody would believe what it signs")
    if not _valid(certificate, now):
        raise VerifyError(
            f"{subject} is valid only from {certificate.not_valid_before_utc} to {certificate.not_valid_after_utc}"
        )


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return False


def _valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _issued(certificate: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(parent)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
