"""Each MUST of SPIFFE's X509-SVID (and of SPIFFE-ID where it binds it), by section, for what weft issues."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID
from weft_kube.names import spiffe_id
from weft_pki.issue import Authority, new_anchor, new_issuer, workload_leaf
from weft_pki.keys import key_pem, new_key
from weft_pki.verify import VerifyError, load_authority, verify_workload

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SHOP = spiffe_id("cluster.local", "teahouse", "shop.v2")
ANCHOR = new_anchor(NOW, trust_domain="cluster.local")
ISSUER = new_issuer(ANCHOR, NOW, trust_domain="cluster.local")
KEY = new_key()
LEAF = workload_leaf(ISSUER, KEY.public_key(), SHOP, NOW, DAY)
SIGNING = [ANCHOR.certificate, ISSUER.certificate]


def uris(certificate: x509.Certificate) -> list[str]:
    """URI SANs."""
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return san.get_values_for_type(x509.UniformResourceIdentifier)


def usage(certificate: x509.Certificate) -> x509.Extension[x509.KeyUsage]:
    """The key usage."""
    return certificate.extensions.get_extension_for_class(x509.KeyUsage)


def test_id_2_1_the_trust_domain_is_of_lower_case_letters_digits_dots_dashes_and_underscores() -> None:
    """And not empty, without user, port or percent."""
    assert re.fullmatch(r"spiffe://[a-z0-9._-]{1,255}/.*", SHOP)


@pytest.mark.parametrize("account", ["default", "shop.v2", "a" * 253])
def test_id_2_2_path_segments_are_of_the_allowed_characters_and_the_whole_fits(account: str) -> None:
    """No empty segment, no . or .., no slash at the end, no percent; at most 2048 bytes."""
    path = spiffe_id("cluster.local", "ns-" + "n" * 60, account).removeprefix("spiffe://cluster.local")
    segments = path.split("/")[1:]
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", part) and part not in (".", "..") for part in segments)
    assert len(spiffe_id("d" * 255, "n" * 63, account).encode()) <= 2048


def test_2_an_svid_has_exactly_one_uri_san() -> None:
    """And weft's has no other name beside it."""
    san = LEAF.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(san) == [x509.UniformResourceIdentifier(SHOP)]


def test_3_1_a_leaf_has_a_path_and_is_no_authority() -> None:
    """cA false."""
    assert uris(LEAF)[0].count("/") > 2
    assert not LEAF.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize("certificate", SIGNING)
def test_3_2_a_signing_certificate_is_an_authority_whose_id_has_no_path(certificate: x509.Certificate) -> None:
    """cA true; the ID is the trust domain's."""
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert uris(certificate) == ["spiffe://cluster.local"]


@pytest.mark.parametrize("certificate", [LEAF, *SIGNING])
def test_4_3_key_usage_is_there_and_critical(certificate: x509.Certificate) -> None:
    """On every SVID."""
    assert usage(certificate).critical


def test_4_3_a_leaf_signs_handshakes_and_neither_certificates_nor_revocations() -> None:
    """digitalSignature set, keyCertSign and cRLSign not."""
    found = usage(LEAF).value
    assert (found.digital_signature, found.key_cert_sign, found.crl_sign) == (True, False, False)


@pytest.mark.parametrize("certificate", SIGNING)
def test_4_3_a_signing_certificate_has_key_cert_sign(certificate: x509.Certificate) -> None:
    """Else nothing that it signed verifies."""
    assert usage(certificate).value.key_cert_sign


def test_4_4_extended_key_usage_names_server_and_client() -> None:
    """Both when there is any."""
    found = LEAF.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(found) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_5_1_a_leaf_validates_up_to_the_bundle() -> None:
    """By RFC 5280's path validation."""
    assert verify_workload(LEAF, ISSUER.chain, [ANCHOR.certificate], NOW) == SHOP


def forged(
    *, ca: bool = False, cert_sign: bool = False, crl_sign: bool = False, names: tuple[str, ...] = (SHOP,)
) -> x509.Certificate:
    """A leaf that the issuer signed and should not have."""
    key_usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
    san = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name) for name in names])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer: Authority = ISSUER
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.certificate.subject)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(key_usage, critical=True)
        .add_extension(san, critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


@pytest.mark.parametrize(
    "leaf",
    [
        forged(ca=True),
        forged(cert_sign=True),
        forged(crl_sign=True),
        forged(names=(SHOP, SHOP + "x")),
        forged(names=("https://cluster.local/ns/teahouse/sa/shop",)),
    ],
    ids=["ca", "keyCertSign", "cRLSign", "two URIs", "no SPIFFE ID"],
)
def test_5_2_what_is_no_leaf_is_refused(leaf: x509.Certificate) -> None:
    """Also when its chain is sound."""
    with pytest.raises(VerifyError):
        verify_workload(leaf, ISSUER.chain, [ANCHOR.certificate], NOW)


def test_4_3_an_issuer_that_may_not_sign_is_not_taken_over() -> None:
    """Leaves of it would be refused by every proxy."""
    issuer = forged(ca=True)
    with pytest.raises(VerifyError, match="keyCertSign"):
        load_authority([issuer], key_pem(KEY), [ISSUER.certificate], NOW)


def test_the_forger_itself_is_sound() -> None:
    """Without a fault, what it makes is believed: so each refusal above is for its fault."""
    assert verify_workload(forged(), ISSUER.chain, [ANCHOR.certificate], NOW) == SHOP
