"""Verifying: chains up to an anchor, and the names of a workload's certificate."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from weft_pki.issue import Authority
from weft_pki.keys import load_key, public_bytes
from weft_pki.signing import reason_against, reason_against_anchor


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
    for below, certificate in enumerate(chain):
        _require_sound(certificate, reason_against(certificate, below), now)
        parents = chain[below + 1 :][:1] or valid
        if not any(_issued(certificate, parent) for parent in parents):
            raise VerifyError(f"{_name(certificate)} is signed neither by the next certificate nor by a valid anchor")
    root = next(anchor for anchor in valid if _issued(chain[-1], anchor))
    _require_sound(root, reason_against_anchor(root), now)
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


def _require_sound(certificate: x509.Certificate, reason: str, now: datetime) -> None:
    if reason:
        raise VerifyError(f"{_name(certificate)} {reason}")
    if not _valid(certificate, now):
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        raise VerifyError(f"{_name(certificate)} is valid only from {start} to {end}")


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _issued(certificate: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(parent)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
