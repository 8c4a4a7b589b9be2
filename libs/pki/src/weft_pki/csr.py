"""Certificate requests: what a stranger sent, checked before its key is used."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from weft_pki.keys import PrivateKey

MAX_BYTES = 8192
"""A request of one EC key and one name is a few hundred bytes."""

CURVES = (ec.SECP256R1, ec.SECP384R1)


class RequestError(ValueError):
    """The request is refused; the message says why and holds nothing secret."""


def new_request(key: PrivateKey, uris: Sequence[str] = ()) -> bytes:
    """A PKCS#10 request (DER) for a key, with these URI SANs and an empty subject."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if uris:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
        builder = builder.add_extension(names, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def requested_key(der: bytes, allowed: str) -> ec.EllipticCurvePublicKey:
    """The public key of a request that is self-signed and names nobody but `allowed` (a URI), or nobody at all."""
    if len(der) > MAX_BYTES:
        raise RequestError(f"the request has {len(der)} bytes; at most {MAX_BYTES} are read")
    try:
        request = x509.load_der_x509_csr(der)
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise RequestError("the request is not PKCS#10 DER with a known kind of key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, CURVES):
        raise RequestError("the key is not ECDSA P-256 or P-384")
    _check_signature(request)
    _check_names(request, allowed)
    return key


def _check_signature(request: x509.CertificateSigningRequest) -> None:
    try:
        valid = request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        valid = False
    if not valid:
        raise RequestError("the request is not signed by its own key")


def _check_names(request: x509.CertificateSigningRequest, allowed: str) -> None:
    try:
        names = _alternative_names(request)
        subject = request.subject.rfc4514_string()
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise RequestError("the request's names do not parse") from None
    if subject:
        raise RequestError(f"the request has a subject ({subject[:80]!r}); it must be empty")
    if names and [(type(name), name.value) for name in names] != [(x509.UniformResourceIdentifier, allowed)]:
        raise RequestError(f"the request asks for another name than {allowed}")


def _alternative_names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        return list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
