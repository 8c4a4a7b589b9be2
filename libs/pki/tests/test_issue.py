"""What is issued passes SPIFFE's X.509-SVID rules and verifies up to the anchor."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st
from weft_pki.bundle import bundle_hash, bundle_pem, parse_certificates
from weft_pki.issue import CLOCK_SKEW, Authority, new_anchor, new_issuer, serving_certificate, workload_leaf
from weft_pki.keys import key_pem, load_key, new_key, public_bytes
from weft_pki.verify import VerifyError, load_authority, verify_workload

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SHOP = "spiffe://cluster.local/ns/teahouse/sa/shop"
ANCHOR = new_anchor(NOW, trust_domain="cluster.local")
ISSUER = new_issuer(ANCHOR, NOW, trust_domain="cluster.local")
KEY = new_key()


def leaf(issuer: Authority = ISSUER, spiffe_id: str = SHOP, length: timedelta = DAY) -> x509.Certificate:
    """A workload's certificate."""
    return workload_leaf(issuer, KEY.public_key(), spiffe_id, NOW, length)


def test_a_leaf_names_one_uri_and_nobody_else() -> None:
    """The subject is empty, so the SAN is critical, and it holds exactly the SPIFFE ID."""
    certificate = leaf()
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(certificate.subject) == []
    assert (san.critical, list(san.value)) == (True, [x509.UniformResourceIdentifier(SHOP)])


def test_a_leaf_signs_handshakes_and_no_certificates() -> None:
    """digitalSignature without keyCertSign and cRLSign, CA false, client and server authentication."""
    certificate = leaf()
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_cert_sign, usage.value.crl_sign) == (True, False, False)
    assert constraints.value == x509.BasicConstraints(ca=False, path_length=None)
    assert set(extended.value) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_key_identifiers_link_leaf_issuer_and_anchor() -> None:
    """Each AKI is the SKI of the certificate above: verifiers choose among anchors of one name by it."""
    for child, parent in [(leaf(), ISSUER.certificate), (ISSUER.certificate, ANCHOR.certificate)]:
        authority = child.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        subject = parent.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert authority.key_identifier == subject.key_identifier


def test_an_issuer_signs_leaves_only() -> None:
    """Path length 0; its SPIFFE ID is the trust domain without a path."""
    constraints = ISSUER.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    san = ISSUER.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(ca=True, path_length=0))
    assert list(san.value) == [x509.UniformResourceIdentifier("spiffe://cluster.local")]


@pytest.mark.parametrize("verifier", [-20, 0, 20])
@pytest.mark.parametrize("signer", [-20, 0, 20])
@pytest.mark.parametrize("maker", [-20, 0, 20])
def test_clocks_that_are_wrong_by_twenty_seconds_do_no_harm(maker: int, signer: int, verifier: int) -> None:
    """Whoever's: of the replica that made anchor and issuer, of the one that signs, of a proxy that verifies."""
    made, signed, verified = (NOW + timedelta(seconds=seconds) for seconds in (maker, signer, verifier))
    anchor = new_anchor(made, trust_domain="cluster.local")
    issuer = new_issuer(anchor, made, trust_domain="cluster.local")
    loaded = load_authority([issuer.certificate], key_pem(issuer.key), [anchor.certificate], signed)
    leaf = workload_leaf(loaded, KEY.public_key(), SHOP, signed, DAY)
    assert verify_workload(leaf, [issuer.certificate], [anchor.certificate], verified) == SHOP


def test_a_leaf_begins_before_its_time_and_ends_with_its_issuer() -> None:
    """So that late clocks take it; a lifetime longer than the issuer's is cut."""
    certificate = leaf(length=timedelta(days=9999))
    assert certificate.not_valid_before_utc == NOW - CLOCK_SKEW
    assert certificate.not_valid_after_utc == ISSUER.certificate.not_valid_after_utc


def test_a_chain_verifies_up_to_its_anchor() -> None:
    """The verified name is the leaf's SPIFFE ID."""
    assert verify_workload(leaf(), ISSUER.chain, [ANCHOR.certificate], NOW) == SHOP


@pytest.mark.parametrize("when", [NOW - CLOCK_SKEW - timedelta(seconds=1), NOW + DAY + timedelta(seconds=1)])
def test_a_leaf_is_refused_outside_its_lifetime(when: datetime) -> None:
    """Too early and too late are refused alike."""
    with pytest.raises(VerifyError, match="does not verify"):
        verify_workload(leaf(), ISSUER.chain, [ANCHOR.certificate], when)


def test_a_leaf_of_another_anchor_is_refused() -> None:
    """A same-named anchor with another key does not vouch for it."""
    other = new_anchor(NOW, trust_domain="cluster.local")
    with pytest.raises(VerifyError, match="does not verify"):
        verify_workload(leaf(), ISSUER.chain, [other.certificate], NOW)


def test_two_anchors_overlap() -> None:
    """While anchors rotate, a bundle of both verifies leaves of both."""
    other = new_anchor(NOW)
    issuer = new_issuer(other, NOW)
    anchors = parse_certificates(bundle_pem([ANCHOR.certificate, other.certificate]))
    assert verify_workload(leaf(issuer), issuer.chain, anchors, NOW) == SHOP
    assert verify_workload(leaf(), ISSUER.chain, anchors, NOW) == SHOP


@settings(max_examples=25)
@given(st.from_regex(r"\Aspiffe://[a-z]{1,20}/ns/[a-z0-9-]{1,63}/sa/[a-z0-9.-]{1,200}\Z"))
def test_any_identity_survives_issuing(spiffe_id: str) -> None:
    """What goes in as a name comes out of verification, however long."""
    certificate = leaf(spiffe_id=spiffe_id)
    assert verify_workload(certificate, ISSUER.chain, [ANCHOR.certificate], NOW) == spiffe_id


def test_a_serving_certificate_names_its_hosts() -> None:
    """DNS SANs, server authentication only."""
    names = ["injector.weft.svc", "injector.weft.svc.cluster.local"]
    certificate = serving_certificate(ANCHOR, KEY.public_key(), names, NOW, DAY)
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert san.get_values_for_type(x509.DNSName) == names
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]


def load(chain: list[x509.Certificate], key: bytes, now: datetime = NOW) -> Authority:
    """An issuer read under the anchor."""
    return load_authority(chain, key, [ANCHOR.certificate], now)


def test_an_issuer_is_read_back() -> None:
    """Its certificate, key and chain; an anchor at the chain's end is left out."""
    read = load([ISSUER.certificate, ANCHOR.certificate], key_pem(ISSUER.key))
    assert read.chain == ISSUER.chain
    assert public_bytes(read.key.public_key()) == public_bytes(ISSUER.key.public_key())


@pytest.mark.parametrize(
    ("chain", "key", "now", "reason"),
    [
        ([ISSUER.certificate], KEY, NOW, "the key is not the certificate's"),
        ([ANCHOR.certificate], ANCHOR.key, NOW, "trust anchor itself"),
        ([new_issuer(new_anchor(NOW), NOW).certificate], KEY, NOW, "neither by the next"),
        ([leaf()], KEY, NOW, "no certificate authority"),
        ([ISSUER.certificate], ISSUER.key, NOW + 366 * DAY, "valid only from"),
    ],
)
def test_an_unfit_issuer_is_refused(chain: list[x509.Certificate], key: object, now: datetime, reason: str) -> None:
    """Foreign key, foreign anchor, a leaf, an expired one: each with its reason."""
    with pytest.raises(VerifyError, match=reason):
        load(chain, key_pem(key), now)  # type: ignore[arg-type]


def test_a_broken_key_is_never_quoted() -> None:
    """The error of a key that does not parse does not hold its text."""
    with pytest.raises(ValueError, match=r"^is not a PEM private key$"):
        load_key(b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")


def test_a_bundle_holds_each_certificate_once() -> None:
    """Its hash depends on its bytes alone."""
    pem = bundle_pem([ANCHOR.certificate, ISSUER.certificate, ANCHOR.certificate])
    assert parse_certificates(pem) == [ANCHOR.certificate, ISSUER.certificate]
    assert bundle_hash(pem) == bundle_hash(bundle_pem([ANCHOR.certificate, ISSUER.certificate]))


@pytest.mark.parametrize("text", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_broken_bundle_is_refused(text: bytes) -> None:
    """Nothing, something else, a broken certificate."""
    with pytest.raises(ValueError, match="holds no PEM certificate"):
        parse_certificates(text)
