"""The Secrets of anchor and issuer in the API: read by name, made, and written upon the version that was read.

And the copy of the bundle beside them: what proxies believe, whoever has changed the Secrets meanwhile.
"""

import base64
from datetime import datetime
from typing import Any

import msgspec
import structlog
from weft_kube.api import ApiError, KubeApi
from weft_kube.names import TRUST_BUNDLE, TRUST_BUNDLE_KEY
from weft_kube.objects import Meta, Object

ANCHOR = "weft-trust-anchor"
ISSUER = "weft-issuer"


class Secret(Object):
    """v1 Secret; msgspec decodes its base64."""

    data: dict[str, bytes] = msgspec.field(default_factory=dict)
    type: str = "Opaque"


class Published(msgspec.Struct, frozen=True):
    """The bundle that proxies mount, and since when it is there; empty when there is none."""

    bundle: bytes = b""
    since: datetime | None = None


class _Written(msgspec.Struct):
    time: datetime | None = None


class _Meta(msgspec.Struct, rename="camel"):
    managed_fields: list[_Written] = []


class _ConfigMap(msgspec.Struct):
    metadata: _Meta
    data: dict[str, str] = {}


class _ConfigMaps(msgspec.Struct):
    items: list[_ConfigMap] = []


def new_secret(name: str, kind: str) -> Secret:
    """A Secret that is not in the cluster yet."""
    labels = {"app.kubernetes.io/part-of": "weft", "weft.dev/component": "identity"}
    return Secret(Meta(name, labels=labels), {}, kind)


class Secrets:
    """Secrets of one namespace, and the bundle that was published there."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self.collection = f"/api/v1/namespaces/{namespace}/secrets"
        self._namespace = namespace
        self._api = api

    async def get(self, name: str) -> Secret | None:
        """A Secret; None when there is none."""
        try:
            return await self._api.get(f"{self.collection}/{name}", Secret)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def published(self) -> Published:
        """The trust bundle of this namespace; each server writes down when somebody changed an object last."""
        path = f"/api/v1/namespaces/{self._namespace}/configmaps"
        found = await self._api.get(path, _ConfigMaps, fieldSelector=f"metadata.name={TRUST_BUNDLE}")
        for item in found.items:
            times = [written.time for written in item.metadata.managed_fields if written.time]
            return Published(item.data.get(TRUST_BUNDLE_KEY, "").encode(), max(times, default=None))
        return Published()

    async def write(self, secret: Secret) -> None:
        """Makes it, or replaces the version that was read; a conflict is an error: the next round reads again."""
        name = secret.metadata.name
        if secret.metadata.resource_version:
            await self._api.request("PUT", f"{self.collection}/{name}", body=_body(secret))
        else:
            await self._api.create(self.collection, _body(secret))
        structlog.get_logger().info("secret written", secret=name)

    async def annotate(self, secret: Secret, annotations: dict[str, str]) -> None:
        """Adds these to the version that was read, and touches nothing else: the Secret may be somebody else's."""
        meta = {"resourceVersion": secret.metadata.resource_version, "annotations": annotations}
        await self._api.merge(f"{self.collection}/{secret.metadata.name}", {"metadata": meta})


def _body(secret: Secret) -> dict[str, Any]:
    kept = secret.metadata
    meta: dict[str, Any] = {"name": kept.name, "labels": kept.labels, "annotations": kept.annotations}
    if kept.resource_version:
        meta["resourceVersion"] = kept.resource_version
    encoded = {key: base64.b64encode(value).decode() for key, value in secret.data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": secret.type, "data": encoded}
