"""The gRPC service: token → identity → certificate, and a status for everything that goes wrong."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import grpc
import structlog
from grpc import StatusCode
from weft_api.identity.v1.identity_pb2 import CertifyRequest, CertifyResponse
from weft_api.identity.v1.identity_pb2_grpc import IdentityServicer, add_IdentityServicer_to_server
from weft_kube.api import KubeApi
from weft_kube.names import spiffe_id
from weft_pki.csr import RequestError
from weft_runtime.config import Address

from weft_identity.anchors import Anchors
from weft_identity.issuer import IssuerExpiredError, certify
from weft_identity.metrics import Metrics
from weft_identity.tokens import ReviewUnavailableError, TokenRefusedError, review

MAX_MESSAGE = 64 * 1024
DRAIN_SECONDS = 10.0

REFUSALS: dict[type[Exception], tuple[str, StatusCode]] = {
    TokenRefusedError: ("token", StatusCode.UNAUTHENTICATED),
    RequestError: ("csr", StatusCode.INVALID_ARGUMENT),
    ReviewUnavailableError: ("unavailable", StatusCode.UNAVAILABLE),
    IssuerExpiredError: ("issuer", StatusCode.UNAVAILABLE),
}


class Identity(IdentityServicer):
    """Certify, as the contract says."""

    def __init__(
        self,
        api: KubeApi,
        anchors: Anchors,
        metrics: Metrics,
        *,
        trust_domain: str,
        lifetime: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._anchors = anchors
        self._metrics = metrics
        self._trust_domain = trust_domain
        self._lifetime = lifetime
        self._now = now
        self._log = structlog.get_logger()

    async def Certify(  # noqa: N802 (the contract's name)
        self, request: CertifyRequest, context: grpc.aio.ServicerContext[CertifyRequest, CertifyResponse]
    ) -> CertifyResponse:
        """A certificate, or the status of what is wrong."""
        try:
            return await self._certify(request)
        except tuple(REFUSALS) as error:
            reason, code = REFUSALS[type(error)]
            self._metrics.refused.labels(reason).inc()
            self._log.warning("certificate refused", reason=str(error), code=code.name)
            await context.abort(code, str(error))

    async def _certify(self, request: CertifyRequest) -> CertifyResponse:
        with self._metrics.review_duration.time():
            who = await review(self._api, request.token)
        identity = spiffe_id(self._trust_domain, who.namespace, who.name)
        if (trust := self._anchors.trust) is None:
            raise IssuerExpiredError("there is no issuer yet")
        issued = certify(trust, request.csr, identity, self._now(), self._lifetime)
        bundle = trust.knows(request.bundle_sha256)
        self._metrics.issued.inc()
        self._metrics.bundles.labels(bundle).inc()
        self._log.info("certificate issued", identity=identity, not_after=issued.not_after.isoformat(), bundle=bundle)
        return CertifyResponse(leaf=issued.leaf, chain=issued.chain, not_after=int(issued.not_after.timestamp()))


async def start(servicer: Identity, listen: Address) -> tuple[grpc.aio.Server, int]:
    """A running server and its port."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.so_reuseport", 0)])
    add_IdentityServicer_to_server(servicer, server)
    port = server.add_insecure_port(str(listen))
    await server.start()
    return server, port


async def serve_grpc(servicer: Identity, listen: Address, stop: asyncio.Event) -> None:
    """Serves until `stop`, then finishes what is in flight."""
    server, _ = await start(servicer, listen)
    try:
        await stop.wait()
    finally:
        await server.stop(DRAIN_SECONDS)
