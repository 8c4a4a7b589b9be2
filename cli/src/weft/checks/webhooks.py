"""weft-webhooks: can the API server call injector and sp-validator?"""

from typing import TYPE_CHECKING, NamedTuple

from weft.checks import certificates
from weft.checks.model import Category, Check, CheckFailedError, Scene, require
from weft.cluster import Object
from weft.names import NAMESPACE

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


class Webhook(NamedTuple):
    """A webhook service and the configuration that points at it."""

    component: str
    configuration: str

    @property
    def path(self) -> str:
        """API path of the configuration."""
        return f"/apis/admissionregistration.k8s.io/v1/{self.configuration}/weft-{self.component}"


WEBHOOKS = (
    Webhook("injector", "mutatingwebhookconfigurations"),
    Webhook("sp-validator", "validatingwebhookconfigurations"),
)


def _registered(scene: Scene, webhook: Webhook) -> list[Object]:
    found = scene.kube.find(webhook.path)
    require(found, f"there is no {webhook.configuration.removesuffix('s')} weft-{webhook.component}")
    entries: list[Object] = (found or {}).get("webhooks") or []
    require(entries, f"weft-{webhook.component} names no webhook")
    return entries


def _certificate(scene: Scene, webhook: Webhook) -> None:
    entries = _registered(scene, webhook)
    serving = certificates.secret(scene, f"weft-{webhook.component}-tls")
    leaf = certificates.parse(serving, f"Secret weft-{webhook.component}-tls")[0]
    certificates.require_valid(leaf, "its serving certificate")
    for entry in entries:
        require_trust(entry["clientConfig"].get("caBundle"), leaf, entry["name"])


def _age(scene: Scene, webhook: Webhook) -> None:
    name = f"weft-{webhook.component}-tls"
    leaf = certificates.parse(certificates.secret(scene, name), f"Secret {name}")[0]
    certificates.require_young(leaf, "its serving certificate")


def require_trust(bundle: str | None, leaf: "Certificate", name: str) -> None:
    """Fail unless a caBundle is there and trusts the serving certificate."""
    if not bundle:
        raise CheckFailedError(f"{name} has no caBundle yet")
    trusted = certificates.parse(certificates.decode(bundle, f"caBundle of {name}"), f"caBundle of {name}")
    certificates.require_issued(leaf, trusted, f"the caBundle of {name} does not trust the serving certificate")


def _endpoints(scene: Scene, webhook: Webhook) -> None:
    slices = scene.kube.list(
        f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices",
        labelSelector=f"kubernetes.io/service-name={webhook.component}",
    )
    endpoints = [endpoint for item in slices for endpoint in item.get("endpoints") or []]
    ready = [endpoint for endpoint in endpoints if (endpoint.get("conditions") or {}).get("ready", True)]
    require(ready, f"Service {webhook.component} has no ready endpoint")


def _checks(webhook: Webhook) -> tuple[Check, ...]:
    name = webhook.component
    logs = f"See `kubectl -n {NAMESPACE} logs deploy/{name}`."
    return (
        Check(
            f"webhook-{name}-certificate",
            f"the API server trusts the certificate of {name}",
            lambda scene: _certificate(scene, webhook),
            f"{name} keeps both itself: delete Secret weft-{name}-tls to renew them. {logs}",
            retry=True,
        ),
        Check(
            f"webhook-{name}-age",
            f"the certificate of {name} is renewed in time",
            lambda scene: _age(scene, webhook),
            f"{name} renews it itself: delete Secret weft-{name}-tls to renew it now. {logs}",
            warning=True,
        ),
        Check(
            f"webhook-{name}-endpoints",
            f"{name} has ready endpoints",
            lambda scene: _endpoints(scene, webhook),
            logs,
            retry=True,
        ),
    )


CATEGORY = Category("weft-webhooks", tuple(check for webhook in WEBHOOKS for check in _checks(webhook)))
