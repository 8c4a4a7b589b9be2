"""Requests of strangers: only a sound one that names nobody else gives its key."""

from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from weft_pki.csr import MAX_BYTES, RequestError, new_request, requested_key
from weft_pki.keys import new_key, public_bytes

SHOP = "spiffe://cluster.local/ns/teahouse/sa/shop"
KEY = new_key()


def request(*names: x509.GeneralName, key: object = KEY, subject: str = "") -> bytes:
    """A request that our own proxy would not make."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)  # type: ignore[arg-type]


@pytest.mark.parametrize("uris", [[], [SHOP]])
def test_a_sound_request_gives_its_key(uris: list[str]) -> None:
    """It may leave its name out, or say the one that the token has."""
    assert public_bytes(requested_key(new_request(KEY, uris), SHOP)) == public_bytes(KEY.public_key())


@pytest.mark.parametrize(
    "names",
    [
        [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/teahouse/sa/till")],
        [x509.UniformResourceIdentifier(SHOP), x509.UniformResourceIdentifier(SHOP)],
        [x509.UniformResourceIdentifier(SHOP), x509.DNSName("shop.teahouse.svc")],
        [x509.UniformResourceIdentifier(SHOP + "\0.evil")],
        [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/*/sa/*")],
        [x509.DNSName(SHOP)],
    ],
)
def test_a_request_for_another_name_is_refused(names: list[x509.GeneralName]) -> None:
    """Another identity, two SANs, a second kind of name, NUL, wildcard."""
    with pytest.raises(RequestError, match=r"another name|do not parse"):
        requested_key(request(*names), SHOP)


def test_a_subject_is_refused() -> None:
    """A subject is a name too."""
    with pytest.raises(RequestError, match="must be empty"):
        requested_key(request(subject="admin"), SHOP)


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP521R1())])
def test_other_keys_are_refused(key: object) -> None:
    """RSA of any size and other curves."""
    with pytest.raises(RequestError, match="not ECDSA P-256 or P-384"):
        requested_key(request(key=key), SHOP)


def test_a_request_signed_by_another_key_is_refused() -> None:
    """Whoever asks must hold the key."""
    der = bytearray(new_request(KEY))
    stolen = public_bytes(new_key().public_key())
    start = bytes(der).index(public_bytes(KEY.public_key()))
    der[start : start + len(stolen)] = stolen
    with pytest.raises(RequestError, match="not signed by its own key"):
        requested_key(bytes(der), SHOP)


def test_an_oversized_request_is_not_parsed() -> None:
    """The limit comes before the parser."""
    with pytest.raises(RequestError, match="at most 8192 are read"):
        requested_key(b"\x30" * (MAX_BYTES + 1), SHOP)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 255))
def test_garbage_is_refused_and_never_crashes(noise: bytes, position: int, byte: int) -> None:
    """Noise, and a sound request with one byte changed, give a key or RequestError; nothing else."""
    der = bytearray(new_request(KEY, [SHOP]))
    der[position % len(der)] = byte
    for data in (noise, bytes(der)):
        with suppress(RequestError):
            requested_key(data, SHOP)
