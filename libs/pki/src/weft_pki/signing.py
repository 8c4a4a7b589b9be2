"""What may stand above a leaf: what the proxies' verifier (webpki) believes there, and SPIFFE of those that have an ID.

Written out rather than tried by a leaf and `cryptography`'s verifier: that one is stricter, of anchors above all, and
would refuse what proxies believe (an anchor without key usage, as openssl makes it).
"""

from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from weft_pki.keys import CURVES, RSA_BITS

Kind = TypeVar("Kind", bound=x509.ExtensionType)

MOST = 6
"""Issuer and intermediates; more are not followed."""

HASHES = ("sha256", "sha384", "sha512")
PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
UNDERSTOOD = (
    x509.KeyUsage,
    x509.SubjectAlternativeName,
    x509.BasicConstraints,
    x509.NameConstraints,
    x509.CRLDistributionPoints,
    x509.ExtendedKeyUsage,
)
"""Another one that is critical makes a certificate worthless."""


def reason_against(certificate: x509.Certificate, below: int) -> str:
    """Why it cannot sign, with so many authorities below it; empty when it can."""
    extensions = certificate.extensions
    return (
        _against_authority(extensions, below)
        or _against_purpose(extensions)
        or _against_names(extensions)
        or _against_id(extensions)
        or _against_signature(certificate)
        or _against_key(certificate)
    )


def reason_against_anchor(anchor: x509.Certificate) -> str:
    """The same of an anchor: of what it says, only its key and the names that it allows count."""
    return _against_names(anchor.extensions) or _against_key(anchor)


def _against_authority(extensions: x509.Extensions, below: int) -> str:
    constraints, usage = _find(extensions, x509.BasicConstraints), _find(extensions, x509.KeyUsage)
    if constraints is None or not constraints.value.ca:
        return "is no certificate authority"
    if usage is None or not usage.value.key_cert_sign:
        return "has no key usage keyCertSign: nobody would believe what it signs"
    length = constraints.value.path_length
    if below >= MOST or (length is not None and below > length):
        return f"has {below} authorities below it, more than its path length allows"
    unknown = [
        each.oid.dotted_string for each in extensions if each.critical and not isinstance(each.value, UNDERSTOOD)
    ]
    return f"has critical extensions that proxies do not understand: {', '.join(unknown)}" if unknown else ""


def _against_purpose(extensions: x509.Extensions) -> str:
    usages = _find(extensions, x509.ExtendedKeyUsage)
    if usages is None or set(usages.value) >= PURPOSES:
        return ""
    return "has an extended key usage without client and server authentication"


def _against_names(extensions: x509.Extensions) -> str:
    """Proxies apply no constraints of URIs and directory names, and believe nothing below them."""
    constraints = _find(extensions, x509.NameConstraints)
    if constraints is None:
        return ""
    trees = [*(constraints.value.permitted_subtrees or ()), *(constraints.value.excluded_subtrees or ())]
    refused = [each for each in trees if isinstance(each, x509.UniformResourceIdentifier | x509.DirectoryName)]
    return "has name constraints of URIs or directory names: nobody would believe what it signs" if refused else ""


def _against_id(extensions: x509.Extensions) -> str:
    """X.509-SVID, sections 3.2 and 4.3, of a certificate that names a SPIFFE ID."""
    names, usage = _find(extensions, x509.SubjectAlternativeName), _find(extensions, x509.KeyUsage)
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier) if names else []
    ids = [uri for uri in uris if uri.startswith("spiffe://")]
    if any("/" in each.removeprefix("spiffe://") for each in ids):
        return "has a SPIFFE ID with a path, as only workloads have"
    return "has a SPIFFE ID, and a key usage that is not critical" if ids and usage and not usage.critical else ""


def _against_signature(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "is signed by an unknown algorithm"
    return "" if algorithm is None or algorithm.name in HASHES else f"is signed over {algorithm.name}"


def _against_key(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    known = (
        isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES))
        or (isinstance(key, rsa.RSAPublicKey) and key.key_size in RSA_BITS)
    )
    return "" if known else "has a key that is neither ECDSA P-256, P-384, P-521 nor RSA of 2048 to 8192 bits"


def _find(extensions: x509.Extensions, kind: type[Kind]) -> x509.Extension[Kind] | None:
    try:
        return extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
