"""Keys and certificates of the run: one authority, and for each side a leaf for the proxies that take files."""

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding
from weft_pki.bundle import bundle_pem, parse_certificates
from weft_pki.issue import Authority, new_anchor, new_issuer, workload_leaf
from weft_pki.keys import key_pem, load_key, new_key

from proxybench.netns import RUN

TRUST_DOMAIN = "cluster.local"
PKI = RUN / "pki"
SIDES = {"client": "caller", "server": "web"}
LIFETIME = timedelta(days=1)


def spiffe(account: str, namespace: str = "shop") -> str:
    """The SPIFFE ID of a service account."""
    return f"spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{account}"


def make() -> None:
    """Writes PKI/ca.pem, issuer.{crt,key} and <side>.{crt,key}."""
    PKI.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    anchor = new_anchor(now, trust_domain=TRUST_DOMAIN)
    issuer = new_issuer(anchor, now, trust_domain=TRUST_DOMAIN)
    (PKI / "ca.pem").write_bytes(bundle_pem([anchor.certificate]))
    (PKI / "issuer.crt").write_bytes(bundle_pem(issuer.chain))
    (PKI / "issuer.key").write_bytes(key_pem(issuer.key))
    for side, account in SIDES.items():
        key = new_key()
        leaf = workload_leaf(issuer, key.public_key(), spiffe(account), now, LIFETIME)
        chain = b"".join(c.public_bytes(Encoding.PEM) for c in (leaf, *issuer.chain))
        (PKI / f"{side}.crt").write_bytes(chain)
        (PKI / f"{side}.key").write_bytes(key_pem(key))
    for path in PKI.iterdir():
        path.chmod(0o644)  # the proxies are another user; the keys are worth nothing after the run


def issuer() -> Authority:
    """The authority that `make` made."""
    certificate, *others = parse_certificates((PKI / "issuer.crt").read_bytes())
    return Authority(certificate, load_key((PKI / "issuer.key").read_bytes()), tuple(others))
