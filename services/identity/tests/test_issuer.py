"""Reading trust from Secrets, and signing under it."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from weft_identity.issuer import IssuerExpiredError, Trust, certify, make_anchor, make_issuer, read_trust
from weft_pki.bundle import bundle_hash, parse_certificates
from weft_pki.csr import RequestError, new_request
from weft_pki.keys import new_key
from weft_pki.verify import verify_workload

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SHOP = "spiffe://cluster.local/ns/teahouse/sa/shop"
KEY = new_key()
ANCHOR = make_anchor("cluster.local", NOW)
ISSUER = make_issuer(ANCHOR, "cluster.local", NOW)


def trust() -> Trust:
    """What identity has after its first start."""
    return read_trust(ANCHOR, ISSUER, NOW)


def test_what_is_issued_verifies_against_the_bundle() -> None:
    """Leaf and chain lead to the anchor; the name is the token's; the chain leaves the anchor out."""
    issued = certify(trust(), new_request(KEY), SHOP, NOW, DAY)
    leaf, *chain = (x509.load_der_x509_certificate(der) for der in (issued.leaf, *issued.chain))
    assert verify_workload(leaf, chain, parse_certificates(trust().bundle), NOW) == SHOP
    assert (len(chain), issued.not_after) == (1, NOW + DAY)


def test_a_leaf_never_outlives_the_issuer() -> None:
    """Near the issuer's end leaves get shorter, and after it there are none."""
    end = trust().issuer_expiry
    assert certify(trust(), new_request(KEY), SHOP, end - timedelta(hours=1), DAY).not_after == end
    with pytest.raises(IssuerExpiredError, match="ended at"):
        certify(trust(), new_request(KEY), SHOP, end, DAY)


def test_a_request_for_somebody_else_is_refused() -> None:
    """The token says who, the request may not say otherwise."""
    with pytest.raises(RequestError, match="another name"):
        certify(trust(), new_request(KEY, [SHOP + "x"]), SHOP, NOW, DAY)


def test_the_bundle_that_a_proxy_rests_on_is_told_apart() -> None:
    """By its hash: what is in use, another one, none."""
    answers = [trust().knows(sha) for sha in (bundle_hash(ANCHOR["ca.crt"]), b"x" * 32, b"")]
    assert answers == ["current", "old", "none"]


@pytest.mark.parametrize(
    ("anchor", "issuer", "reason"),
    [
        ({}, ISSUER, r"trust anchor's Secret has no ca\.crt"),
        (ANCHOR, {}, r"issuer's Secret has no tls\.crt"),
        (ANCHOR, ISSUER | {"tls.key": b""}, r"issuer's Secret has no tls\.key"),
        (ANCHOR, ISSUER | {"tls.key": b"secret"}, r"^is not a PEM private key$"),
        (make_anchor("cluster.local", NOW), ISSUER, "neither by the next"),
    ],
)
def test_unsound_secrets_are_refused(anchor: dict[str, bytes], issuer: dict[str, bytes], reason: str) -> None:
    """Missing parts, garbage, an issuer of another anchor."""
    with pytest.raises(ValueError, match=reason):
        read_trust(anchor, issuer, NOW)


def test_an_anchor_without_its_key_makes_no_issuer() -> None:
    """An external anchor comes with an external issuer."""
    with pytest.raises(ValueError, match=r"no ca\.key"):
        make_issuer({"ca.crt": ANCHOR["ca.crt"]}, "cluster.local", NOW)
