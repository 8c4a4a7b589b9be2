"""A serving certificate that keeps itself: in a Secret shared by all replicas, renewed and reloaded while serving."""

import asyncio
import base64
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog
from weft_kube.api import FAILURES, ApiError, KubeApi

from weft_webhook.ca_bundle import CaBundle
from weft_webhook.child import settle
from weft_webhook.pair import Pair, Question, Settled

CHECK_SECONDS = 30.0
RETRY_SECONDS = 1.0
"""While something is missing: at an installation the objects come in any order."""

SETTLE_SECONDS = 10.0
"""Between a new bundle's publication and the first use of its leaf: API servers read the bundle by a watch."""


class _SecretMeta(msgspec.Struct, rename="camel"):
    resource_version: str


class _Secret(msgspec.Struct):
    metadata: _SecretMeta
    data: dict[str, bytes] = {}  # msgspec reads base64


class ServingCertificate:
    """Keeps Secret `weft-<name>-tls` and gives `context`, whose certificate follows it without a restart.

    `run` goes on until cancelled. `ready` is set once a certificate is loaded and published: a condition of /ready.
    Whichever replica is first creates or renews the Secret; a conflict means that another one was, and its is used.
    """

    def __init__(
        self,
        api: KubeApi,
        name: str,
        bundles: Sequence[CaBundle] = (),
        *,
        namespace: str = "weft",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        settle: Callable[[Question], Awaitable[Settled]] = settle,
    ) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.ready = asyncio.Event()
        self._api = api
        self._name = name
        self._bundles = bundles
        self._collection = f"/api/v1/namespaces/{namespace}/secrets"
        self._secret = f"weft-{name}-tls"
        self._hosts = [f"{name}.{namespace}{suffix}" for suffix in (".svc", ".svc.cluster.local", "")]
        self._now = now
        self._sleep = sleep
        self._settle = settle
        self._loaded: Pair | None = None
        self._former = b""
        """CAs of the pair served before, published on while this replica or a slower one may serve it."""
        self._complete = False
        self._log = structlog.get_logger().bind(secret=self._secret)

    @property
    def expiry(self) -> float:
        """When the certificate in use ends, in seconds since the epoch; 0 before there is one."""
        return self._loaded.not_after.timestamp() if self._loaded else 0.0

    async def run(self) -> None:
        """Checks Secret, certificate and bundles for ever; what fails is tried again."""
        while True:
            try:
                await self.check()
            except FAILURES as error:
                self._log.warning("serving certificate not checked", reason=str(error) or type(error).__name__)
            await self._sleep(CHECK_SECONDS if self.ready.is_set() and self._complete else RETRY_SECONDS)

    async def check(self) -> None:
        """One round: the Secret's pair (renewed when due) is published, then served."""
        pair = await self._current()
        if self._loaded and pair != self._loaded:
            self._former = self._loaded.authorities
        await self._publish(pair)
        if pair == self._loaded:
            self._former = b""
            return
        if self._loaded:
            await self._sleep(SETTLE_SECONDS)
            # A replica that had read the old Secret may have published the old bundle meanwhile.
            await self._publish(pair)
        self._load(pair)
        self.ready.set()
        self._log.info("serving certificate loaded", not_after=pair.not_after.isoformat())

    async def _publish(self, pair: Pair) -> None:
        pem = pair.authorities
        if self._former not in pem:
            pem = pem.rstrip() + b"\n" + self._former
        found = [await bundle.publish(self._api, pem) for bundle in self._bundles]
        self._complete = all(found)

    async def _current(self) -> Pair:
        """The Secret's pair, after creating or renewing it where it is absent, broken or due."""
        try:
            secret = await self._api.get(f"{self._collection}/{self._secret}", _Secret)
        except ApiError as error:
            if error.status != 404:
                raise
            settled = await self._settle(Question(self._name, self._hosts, self._now(), None))
            return await self._write("POST", self._collection, settled.pair)
        if served := self._served(secret.data):
            return served
        settled = await self._settle(Question(self._name, self._hosts, self._now(), secret.data))
        if not settled.made:
            return settled.pair
        if settled.fault:
            self._log.warning("serving certificate replaced", reason=settled.fault)
        path = f"{self._collection}/{self._secret}"
        return await self._write("PUT", path, settled.pair, secret.metadata.resource_version)

    def _served(self, data: dict[str, bytes]) -> Pair | None:
        """The pair in use, if it is the Secret's and not due: nothing is to be found out."""
        same = self._loaded is not None and self._loaded.data() == data and not self._loaded.due(self._now())
        return self._loaded if same else None

    async def _write(self, method: str, path: str, pair: Pair, version: str = "") -> Pair:
        """The pair now in the Secret: ours, or after a conflict the one of the replica that was faster."""
        meta = {"name": self._secret, "labels": {"app.kubernetes.io/part-of": "weft", "weft.dev/component": self._name}}
        if version:
            meta["resourceVersion"] = version
        data = {name: base64.b64encode(value).decode() for name, value in pair.data().items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "kubernetes.io/tls", "data": data}
        try:
            await self._api.request(method, path, body=body)
        except ApiError as error:
            if error.status != 409:
                raise
            return await self._current()
        self._log.info("serving certificate made", not_after=pair.not_after.isoformat())
        return pair

    def _load(self, pair: Pair) -> None:
        """Handshakes from now on use this pair. OpenSSL reads only files: these live for the moment of reading."""
        with tempfile.TemporaryDirectory(prefix="weft-tls-") as folder:
            file = Path(folder, "tls.pem")
            file.touch(mode=0o600)
            file.write_bytes(pair.key + pair.certificate)
            self.context.load_cert_chain(file)
        self._loaded = pair
