"""weft-identity: trust anchor, issuer, and the bundle that proxies mount."""

from functools import partial
from typing import TYPE_CHECKING

from weft.checks import certificates
from weft.checks.model import Category, Check, Scene, require
from weft.forward import get, ready_pods
from weft.names import NAMESPACE, PORT_SERVICE_ADMIN, TRUST_BUNDLE, TRUST_BUNDLE_KEY

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

ANCHOR, ISSUER = "weft-trust-anchor", "weft-issuer"
UNSOUND = b"weft_identity_issuer_unsound 1.0"
ROTATE = "Replace the Secret (SECURITY.md says how anchor and issuer are rotated); identity takes the new one at once."
OVERDUE = (
    f"Identity renews what it has the key for: see `kubectl -n {NAMESPACE} logs deploy/identity -c identity` and "
    "`weft identity rotate --dry-run`. Otherwise replace the Secret where it is made."
)


def _anchors(scene: Scene) -> "list[Certificate]":
    """Of their own Secret; without it, what cert-manager writes beside the issuer."""
    beside = not certificates.data(scene, ANCHOR) and "ca.crt" in certificates.data(scene, ISSUER)
    name = ISSUER if beside else ANCHOR
    return certificates.parse(certificates.secret(scene, name, "ca.crt"), f"Secret {name}")


def _chain(scene: Scene) -> "list[Certificate]":
    return certificates.parse(certificates.secret(scene, ISSUER), f"Secret {ISSUER}")


def _issuer(scene: Scene) -> "Certificate":
    return _chain(scene)[0]


def _anchor_valid(scene: Scene) -> None:
    for certificate in _anchors(scene):
        certificates.require_valid(certificate, "the trust anchor")


def _anchor_age(scene: Scene) -> None:
    for certificate in _anchors(scene):
        certificates.require_young(certificate, "the trust anchor")


def _issuer_valid(scene: Scene) -> None:
    certificates.require_valid(_issuer(scene), "the issuer")


def _issuer_key(scene: Scene) -> None:
    certificates.require_key(_issuer(scene), certificates.secret(scene, ISSUER, "tls.key"), "the issuer")


def _issuer_age(scene: Scene) -> None:
    certificates.require_young(_issuer(scene), "the issuer")


def _issuer_trusted(scene: Scene) -> None:
    bundle = certificates.parse(_bundles(scene).get(NAMESPACE, "").encode(), f"ConfigMap {TRUST_BUNDLE}")
    certificates.require_issued(_chain(scene)[-1], bundle, "no certificate of the trust bundle issued the issuer")


def _taken_over(scene: Scene) -> None:
    refusing = [pod for pod in ready_pods(scene.kube, "identity") if UNSOUND in _metrics(scene, pod)]
    require(not refusing, f"refused by {', '.join(refusing)}: {_refusal(scene)}")


def _metrics(scene: Scene, pod: str) -> list[bytes]:
    _, text = get(partial(scene.kube.forward, NAMESPACE, pod, PORT_SERVICE_ADMIN), "/metrics", pod)
    return text.splitlines()


def _refusal(scene: Scene) -> str:
    """Why, by the newest Event: Kubernetes forgets them after an hour."""
    events = scene.kube.list(f"/api/v1/namespaces/{NAMESPACE}/events", fieldSelector="reason=SecretRefused")
    newest = max(events, key=lambda event: event.get("lastTimestamp") or "", default={"message": "see its log"})
    return str(newest["message"])


def _bundle_everywhere(scene: Scene) -> None:
    bundles = _bundles(scene)
    require(bundles.get(NAMESPACE), f"there is no ConfigMap {TRUST_BUNDLE} in namespace {NAMESPACE}")
    differing = sorted(name for name in _namespaces(scene) if bundles.get(name) != bundles[NAMESPACE])
    require(not differing, f"missing or different in {', '.join(differing)}")


def _bundles(scene: Scene) -> dict[str, str]:
    found = scene.kube.list("/api/v1/configmaps", fieldSelector=f"metadata.name={TRUST_BUNDLE}")
    return {item["metadata"]["namespace"]: (item.get("data") or {}).get(TRUST_BUNDLE_KEY, "") for item in found}


def _namespaces(scene: Scene) -> list[str]:
    namespaces = scene.kube.list("/api/v1/namespaces")
    return [n["metadata"]["name"] for n in namespaces if n.get("status", {}).get("phase") != "Terminating"]


CATEGORY = Category(
    "weft-identity",
    (
        Check("identity-anchor", "the trust anchor is valid", _anchor_valid, ROTATE, fatal=True, retry=True),
        Check(
            "identity-anchor-age",
            "the trust anchor is renewed in time",
            _anchor_age,
            OVERDUE,
            warning=True,
        ),
        Check("identity-issuer", "the issuer is valid", _issuer_valid, ROTATE, fatal=True, retry=True),
        Check(
            "identity-issuer-key",
            "the issuer's key is its own",
            _issuer_key,
            "Identity goes on with the issuer it had. Replace tls.crt and tls.key of Secret weft-issuer together.",
            retry=True,
        ),
        Check(
            "identity-issuer-age",
            "the issuer is renewed in time",
            _issuer_age,
            OVERDUE,
            warning=True,
        ),
        Check(
            "identity-secrets",
            "identity has taken over what its Secrets hold",
            _taken_over,
            "What it had before stays in use until it ends: repair what was changed last in Secret weft-trust-anchor "
            "or weft-issuer. "
            f"`kubectl -n {NAMESPACE} logs deploy/identity -c identity` says when it is taken over.",
            retry=True,
        ),
        Check(
            "identity-bundle",
            "the trust bundle is the same in every namespace",
            _bundle_everywhere,
            f"identity publishes it: see `kubectl -n {NAMESPACE} logs deploy/identity -c identity`.",
            retry=True,
        ),
        Check(
            "identity-issuer-trusted",
            "the trust bundle trusts the issuer",
            _issuer_trusted,
            "Anchor and issuer come from different hierarchies: restore the Secret that was changed last.",
            retry=True,
        ),
    ),
)
