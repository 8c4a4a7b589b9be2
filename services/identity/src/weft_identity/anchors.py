"""The Secrets of anchor and issuer: made once, followed for ever, taken over only when sound."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import structlog
from weft_kube.api import ApiError, KubeApi
from weft_kube.objects import Meta, Object

from weft_identity.issuer import ANCHOR_KEY, SecretData, Trust, issuer_due, make_anchor, make_issuer, read_trust
from weft_identity.metrics import Metrics

ANCHOR = "weft-trust-anchor"
ISSUER = "weft-issuer"
POLL_SECONDS = 30.0
"""Both Secrets are read this often even if no watch says a word."""

FAILURES = (ApiError, aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError)


class Secret(Object):
    """v1 Secret; msgspec decodes its base64."""

    data: dict[str, bytes] = msgspec.field(default_factory=dict)
    type: str = "Opaque"


class Anchors:
    """The trust in use. `run` follows the Secrets; `ready` is set once there is one; `touch` makes it look at once."""

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        trust_domain: str,
        metrics: Metrics,
        *,
        on_change: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.trust: Trust | None = None
        self.ready = asyncio.Event()
        self._api = api
        self._collection = f"/api/v1/namespaces/{namespace}/secrets"
        self._trust_domain = trust_domain
        self._metrics = metrics
        self._on_change = on_change
        self._now = now
        self._touched = asyncio.Event()
        self._used: tuple[SecretData | None, SecretData | None] | None = None
        self._log = structlog.get_logger()

    def touch(self) -> None:
        """A Secret may have changed."""
        self._touched.set()

    async def run(self) -> None:
        """Reads both Secrets when touched and every 30 s, for ever."""
        while True:
            self._touched.clear()
            try:
                await self.refresh()
            except FAILURES as error:
                self._log.warning("trust not read", reason=str(error) or type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._touched.wait()

    async def refresh(self) -> None:
        """Takes over what the Secrets hold, if it is new and sound; else keeps what is in use."""
        anchor, issuer = await self._get(ANCHOR), await self._get(ISSUER)
        read = anchor.data if anchor else None, issuer.data if issuer else None
        if read == self._used:
            return
        try:
            trust = read_trust(read[0] or {}, read[1] or {}, self._now())
        except ValueError as error:
            self._refuse(str(error))
        else:
            self._used = read
            self._use(trust)

    async def provide(self) -> None:
        """Makes the anchor at the first start only, the issuer when it is absent or due. For the Lease's holder."""
        anchor, issuer = await self._get(ANCHOR), await self._get(ISSUER)
        if anchor is None:
            if self.trust or issuer:
                return
            anchor = _secret(ANCHOR, "Opaque", make_anchor(self._trust_domain, self._now()))
            await self._create(anchor)
        if issuer is None:
            issuer = _secret(ISSUER, "kubernetes.io/tls", {})
        elif not anchor.data.get(ANCHOR_KEY) or not issuer_due(issuer.data, self._now()):
            return
        await self._issue(anchor.data, issuer)

    def _use(self, trust: Trust) -> None:
        self.trust = trust
        self.ready.set()
        self._metrics.issuer_expiry.set(trust.issuer_expiry.timestamp())
        self._metrics.anchor_expiry.set(trust.anchor_expiry.timestamp())
        self._log.info(
            "issuer loaded",
            serial=f"{trust.authority.certificate.serial_number:x}",
            not_after=trust.issuer_expiry.isoformat(),
        )
        self._on_change()

    def _refuse(self, reason: str) -> None:
        if self.trust is None:
            self._log.info("waiting for the issuer", reason=reason)
            return
        self._metrics.issuer_refused.inc()
        self._log.error("changed issuer refused, the old one is kept", reason=reason)

    async def _get(self, name: str) -> Secret | None:
        try:
            return await self._api.get(f"{self._collection}/{name}", Secret)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _issue(self, anchor: SecretData, secret: Secret) -> None:
        """A new issuer into the Secret; one without a version is not in the cluster yet."""
        try:
            secret.data = make_issuer(anchor, self._trust_domain, self._now())
            read_trust(anchor, secret.data, self._now())
        except ValueError as error:
            self._log.error("issuer not made", reason=str(error))
            return
        if secret.metadata.resource_version:
            await self._api.request("PUT", f"{self._collection}/{ISSUER}", body=_body(secret))
            self._log.info("issuer renewed", secret=ISSUER)
        else:
            await self._create(secret)

    async def _create(self, secret: Secret) -> None:
        """A conflict is an error like any other: the next round reads what another one made."""
        await self._api.create(self._collection, _body(secret))
        self._log.info("secret made", secret=secret.metadata.name)


def _secret(name: str, kind: str, data: dict[str, bytes]) -> Secret:
    labels = {"app.kubernetes.io/part-of": "weft", "weft.dev/component": "identity"}
    return Secret(Meta(name, labels=labels), data, kind)


def _body(secret: Secret) -> dict[str, Any]:
    """As the API server takes it; with its version, so that a write upon another one's is a conflict."""
    kept = secret.metadata
    meta: dict[str, Any] = {"name": kept.name, "labels": kept.labels, "annotations": kept.annotations}
    if kept.resource_version:
        meta["resourceVersion"] = kept.resource_version
    encoded = {key: base64.b64encode(value).decode() for key, value in secret.data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": secret.type, "data": encoded}


class Touch:
    """An index that only says: something changed."""

    def __init__(self, touch: Callable[[], None]) -> None:
        self._touch = touch

    def apply(self, _: Object) -> None:
        """New or changed."""
        self._touch()

    def delete(self, _: tuple[str, str]) -> None:
        """Gone."""
        self._touch()

    def reset(self, _: Sequence[Object]) -> None:
        """Listed anew."""
        self._touch()
