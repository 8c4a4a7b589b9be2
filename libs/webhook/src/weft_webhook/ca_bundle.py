"""The objects that tell the API server whom to trust: webhook configurations and APIServices, ours by name."""

import base64
from dataclasses import dataclass
from typing import Any

import msgspec
from weft_kube.api import ApiError, KubeApi


@dataclass(frozen=True, slots=True)
class CaBundle:
    """Where a `caBundle` belongs: the path of an object of ours."""

    path: str

    async def publish(self, api: KubeApi, pem: bytes) -> bool:
        """Writes the bundle where it differs. False when the object is not there: making it is not ours."""
        wanted = base64.b64encode(pem).decode()
        try:
            operations = patch(await api.get(self.path, dict[str, Any]), wanted)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        if operations:
            body = msgspec.Raw(msgspec.json.encode(operations))
            await api.request("PATCH", self.path, None, body, "application/json-patch+json")
        return True


def patch(obj: dict[str, Any], wanted: str) -> list[dict[str, Any]]:
    """JSON Patch operations that set the bundle of each webhook, or of an APIService; none when all is well.

    Webhooks are a list: a test of the name keeps the patch from hitting another one after a change of order.
    """
    if "webhooks" not in obj:
        if obj.get("spec", {}).get("caBundle") == wanted:
            return []
        return [{"op": "add", "path": "/spec/caBundle", "value": wanted}]
    operations = []
    for number, webhook in enumerate(obj["webhooks"]):
        if webhook["clientConfig"].get("caBundle") != wanted:
            place = f"/webhooks/{number}"
            operations.append({"op": "test", "path": f"{place}/name", "value": webhook["name"]})
            operations.append({"op": "add", "path": f"{place}/clientConfig/caBundle", "value": wanted})
    return operations


def mutating_webhook(name: str) -> CaBundle:
    """Every webhook of a MutatingWebhookConfiguration."""
    return CaBundle(f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}")


def validating_webhook(name: str) -> CaBundle:
    """Every webhook of a ValidatingWebhookConfiguration."""
    return CaBundle(f"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{name}")


def api_service(name: str) -> CaBundle:
    """The one bundle of an APIService ("v1alpha1.tap.weft.dev")."""
    return CaBundle(f"/apis/apiregistration.k8s.io/v1/apiservices/{name}")
