"""Which certificates may stand above leaves: what no proxy would believe is refused, and nothing else is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from weft_pki.issue import Authority, workload_leaf
from weft_pki.keys import PrivateKey, key_pem, new_key
from weft_pki.verify import VerifyError, load_authority, verify_workload

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SHOP = "spiffe://cluster.local/ns/teahouse/sa/shop"
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
RSA_1024, RSA_2048 = (rsa.generate_private_key(65537, bits) for bits in (1024, 2048))


def usage(*, sign: bool = True) -> x509.KeyUsage:
    """For certificates and revocations, or for signatures alone."""
    return x509.KeyUsage(not sign, False, False, False, False, sign, sign, False, False)


SIGNS, SHA256 = usage(), hashes.SHA256()


def names(*constraints: x509.GeneralName, excluded: bool = False) -> x509.NameConstraints:
    """Only these are allowed, or only these are not."""
    return x509.NameConstraints(None, constraints) if excluded else x509.NameConstraints(constraints, None)


def authority(
    name: str,
    parent: Authority | None = None,
    *,
    key: PrivateKey | None = None,
    length: int | None = None,
    constraints_critical: bool = True,
    key_usage: x509.KeyUsage | None = SIGNS,
    usage_critical: bool = True,
    purposes: list[x509.ObjectIdentifier] | None = None,
    constraints: x509.NameConstraints | None = None,
    uri: str = "",
    more: x509.ExtensionType | None = None,
    digest: hashes.HashAlgorithm = SHA256,
) -> Authority:
    """One of another maker, with what its certificate says."""
    key = key or new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    extensions: list[tuple[x509.ExtensionType | None, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=length), constraints_critical),
        (key_usage, usage_critical),
        (x509.ExtendedKeyUsage(purposes) if purposes else None, False),
        (constraints, True),
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]) if uri else None, False),
        (more, True),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(parent.certificate.subject if parent else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 30 * DAY)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical) if extension else builder
    above = parent.chain if parent and parent.certificate.subject != parent.certificate.issuer else ()
    return Authority(builder.sign(parent.key if parent else key, digest), key, above)


ROOT = authority("root")


def load(issuer: Authority, root: Authority = ROOT) -> Authority:
    """As a Secret brings it."""
    return load_authority(issuer.chain, key_pem(issuer.key), [root.certificate], NOW)


def deep(number: int) -> Authority:
    """An issuer with so many intermediates."""
    above = ROOT
    for level in range(number):
        above = authority(f"level {level}", above)
    return authority("issuer", above)


URI, DIRECTORY = x509.UniformResourceIdentifier("cluster.local"), x509.DirectoryName(x509.Name([]))
UNBELIEVED: dict[str, tuple[Callable[[], Authority], str]] = {
    "path length of the one above": (lambda: authority("issuer", authority("middle", ROOT, length=0)), "path length"),
    "seven of them": (lambda: deep(6), "path length"),
    "only URIs of a host": (lambda: authority("issuer", ROOT, constraints=names(URI)), "name constraints"),
    "no URIs of a host": (lambda: authority("issuer", ROOT, constraints=names(URI, excluded=True)), "name constraints"),
    "only a directory": (lambda: authority("issuer", ROOT, constraints=names(DIRECTORY)), "name constraints"),
    "RSA-1024": (lambda: authority("issuer", ROOT, key=RSA_1024), "neither ECDSA"),
    "secp256k1": (lambda: authority("issuer", ROOT, key=ec.generate_private_key(ec.SECP256K1())), "neither ECDSA"),
    "for code": (lambda: authority("issuer", ROOT, purposes=[ExtendedKeyUsageOID.CODE_SIGNING]), "extended key usage"),
    "not for clients": (lambda: authority("issuer", ROOT, purposes=[SERVER]), "extended key usage"),
    "no key usage": (lambda: authority("issuer", ROOT, key_usage=None), "keyCertSign"),
    "another key usage": (lambda: authority("issuer", ROOT, key_usage=usage(sign=False)), "keyCertSign"),
    "critical and unknown": (
        lambda: authority("issuer", ROOT, more=x509.InhibitAnyPolicy(0)),
        "do not understand: 2.5.29.54",
    ),
}


@pytest.mark.parametrize("fault", UNBELIEVED)
def test_what_no_proxy_would_believe_is_refused(fault: str) -> None:
    """With its reason; and a leaf of it does not verify."""
    make, reason = UNBELIEVED[fault]
    with pytest.raises(VerifyError, match=reason):
        load(make())
    if fault != "seven of them":  # for Python's verifier that is not too many
        leaf = workload_leaf(make(), new_key().public_key(), SHOP, NOW, DAY)
        with pytest.raises(VerifyError, match="does not verify"):
            verify_workload(leaf, make().chain, [ROOT.certificate], NOW)


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        (authority("root", key=RSA_1024), "neither ECDSA"),
        (authority("root", constraints=names(URI)), "name constraints"),
    ],
)
def test_so_is_what_rests_on_an_anchor_that_vouches_for_none(root: Authority, reason: str) -> None:
    """By its key, or the names that it allows."""
    with pytest.raises(VerifyError, match=reason):
        load(authority("issuer", root), root)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"uri": "spiffe://cluster.local/issuer"}, "SPIFFE ID with a path"),
        ({"uri": "spiffe://cluster.local", "usage_critical": False}, "not critical"),
    ],
)
def test_an_issuer_with_an_id_follows_spiffe(more: dict[str, object], reason: str) -> None:
    """X.509-SVID, 3.2 and 4.3: no path, and a critical key usage."""
    with pytest.raises(VerifyError, match=reason):
        load(authority("issuer", ROOT, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "issuer",
    [
        authority("issuer", ROOT),
        authority("issuer", ROOT, length=0, uri="spiffe://cluster.local"),
        authority("issuer", ROOT, uri="https://ca.example/issuer"),
        authority("issuer", ROOT, usage_critical=False),
        authority("issuer", ROOT, constraints_critical=False),
        authority("issuer", ROOT, purposes=[SERVER, CLIENT]),
        authority("issuer", ROOT, constraints=names(x509.DNSName("cluster.local"))),
        authority("issuer", ROOT, key=RSA_2048, digest=hashes.SHA512()),
        authority("issuer", ROOT, key=ec.generate_private_key(ec.SECP384R1())),
        authority("issuer", authority("middle", ROOT, length=1)),
        deep(5),
    ],
)
def test_what_proxies_believe_is_taken(issuer: Authority) -> None:
    """However its maker writes it."""
    assert load(issuer).chain == issuer.chain


@pytest.mark.parametrize(
    "root", [authority("root", key_usage=None), authority("root", length=0), authority("root", usage_critical=False)]
)
def test_an_anchor_is_a_name_and_a_key(root: Authority) -> None:
    """Proxies read little else of it: one that openssl has made has no key usage."""
    issuer = authority("issuer", authority("middle", root))
    assert load(issuer, root).chain == issuer.chain
