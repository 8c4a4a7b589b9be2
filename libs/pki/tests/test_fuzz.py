"""Whatever somebody puts into a Secret: it is read, or refused by a ValueError that quotes nothing of it."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from weft_pki.bundle import parse_certificates
from weft_pki.issue import der, new_anchor, new_issuer
from weft_pki.keys import key_pem, load_key
from weft_pki.verify import load_authority

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANCHOR = new_anchor(NOW, trust_domain="cluster.local")
ISSUER = new_issuer(ANCHOR, NOW, trust_domain="cluster.local")
KEY = key_pem(ISSUER.key)
SOUND = der(ISSUER.certificate)
KEY_DER = ISSUER.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def pem(label: str, data: bytes) -> bytes:
    """Any bytes, as PEM."""
    text = base64.encodebytes(data)
    return f"-----BEGIN {label}-----\n".encode() + text + f"-----END {label}-----\n".encode()


def damaged(sound: bytes) -> st.SearchStrategy[bytes]:
    """A few bytes of it replaced: most of the structure stays."""
    changes = st.dictionaries(st.integers(0, len(sound) - 1), st.integers(0, 255), min_size=1, max_size=3)
    return changes.map(lambda found: bytes(found.get(at, byte) for at, byte in enumerate(sound)))


def complaint(read: Callable[[], object]) -> str:
    """What is said against it; nothing when it can be read. Any other error is none that callers expect."""
    try:
        read()
    except ValueError as error:
        return str(error) or "no reason"
    return ""


QUOTE = base64.b64encode(KEY_DER)[40:60].decode()


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=400, deadline=None)
@given(damaged(SOUND), st.booleans())
def test_a_damaged_certificate_is_read_or_refused(data: bytes, anchor: bool) -> None:
    """As an issuer, and as an anchor."""

    def read() -> None:
        found = parse_certificates(pem("CERTIFICATE", data))
        load_authority(found, KEY, [ANCHOR.certificate, *(found if anchor else [])], NOW)

    assert complaint(read) != "no reason"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400) | st.binary(max_size=200).map(lambda data: pem("CERTIFICATE", data)))
def test_what_is_no_certificate_is_refused(text: bytes) -> None:
    """Any bytes, bare or as PEM."""
    with pytest.raises(ValueError, match="holds no PEM certificate"):
        parse_certificates(text)


@settings(max_examples=300, deadline=None)
@given(
    damaged(KEY_DER) | st.binary(max_size=200), st.sampled_from(["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"])
)
def test_a_damaged_key_is_read_or_refused(data: bytes, label: str) -> None:
    """And never quoted."""
    assert QUOTE not in complaint(lambda: load_key(pem(label, data)))
