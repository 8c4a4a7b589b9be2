"""The gRPC service: token → identity → certificate, and a status for everything that goes wrong."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc import StatusCode
from weft_api.identity.v1.identity_pb2 import CertifyRequest, CertifyResponse
from weft_kube.api import KubeApi
from weft_kube.names import CLIENT_ADDRESS, CLIENT_ID, spiffe_id
from weft_pki.csr import RequestError
from weft_runtime.config import Address

from weft_identity.anchors import Anchors
from weft_identity.issuer import Issued, IssuerExpiredError, Terms, Trust, certify
from weft_identity.ledger import Ledger, LedgerError
from weft_identity.limits import LimitedError, Limits
from weft_identity.metrics import Metrics
from weft_identity.rotation import may_issue
from weft_identity.tokens import ReviewUnavailableError, TokenRefusedError, review

SERVICE = "weft.identity.v1.Identity"
MAX_MESSAGE = 64 * 1024
MESSAGE_SECONDS = 10.0
"""A request is whole within this."""

MAX_CALLS = 2_000
"""Calls under way, of all workloads together."""

MAX_AGE_MS, GRACE_MS = 600_000, 30_000
"""A connection is asked to end after the first, ended after the second: nobody holds calls by not reading answers."""

DRAIN_SECONDS = 10.0

Context = grpc.aio.ServicerContext[bytes, bytes]


class MessageError(Exception):
    """There is no request that could be read."""


class MessageLateError(Exception):
    """The request is not whole in time."""


class BundleOldError(Exception):
    """The trust anchor is being rotated, and the proxy's bundle lacks the new one."""


REFUSALS: dict[type[Exception], tuple[str, StatusCode]] = {
    MessageError: ("message", StatusCode.INVALID_ARGUMENT),
    MessageLateError: ("message", StatusCode.DEADLINE_EXCEEDED),
    TokenRefusedError: ("token", StatusCode.UNAUTHENTICATED),
    RequestError: ("csr", StatusCode.INVALID_ARGUMENT),
    ReviewUnavailableError: ("unavailable", StatusCode.UNAVAILABLE),
    LedgerError: ("unavailable", StatusCode.UNAVAILABLE),
    IssuerExpiredError: ("issuer", StatusCode.UNAVAILABLE),
    BundleOldError: ("bundle", StatusCode.UNAVAILABLE),
    LimitedError: ("limit", StatusCode.RESOURCE_EXHAUSTED),
}


class Identity:
    """Certify, as the contract says."""

    def __init__(
        self,
        api: KubeApi,
        anchors: Anchors,
        ledger: Ledger,
        metrics: Metrics,
        terms: Terms,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._anchors = anchors
        self._ledger = ledger
        self._metrics = metrics
        self._limits = Limits()
        self._terms = terms
        self._now = now
        self._log = structlog.get_logger()

    async def certify(self, _: AsyncIterator[bytes], context: Context) -> bytes:
        """A certificate, or the status of what is wrong. Whoever is slow to ask is counted from the first byte on."""
        try:
            caller, known = _caller(context)
            with self._limits.entered(caller, known=known):
                return (await self._certify(await _request(context))).SerializeToString()
        except tuple(REFUSALS) as error:
            reason, code = REFUSALS[type(error)]
            self._metrics.refused.labels(reason).inc()
            self._log.warning("certificate refused", reason=str(error), code=code.name)
            await context.abort(code, str(error))

    async def _certify(self, request: CertifyRequest) -> CertifyResponse:
        with self._metrics.review_duration.time():
            who = await review(self._api, request.token)
        self._limits.spend(f"{who.namespace}/{who.name}", time.monotonic())
        identity = spiffe_id(self._terms.trust_domain, who.namespace, who.name)
        trust = await self._trust(request.bundle_sha256)
        issued = certify(trust, request.csr, identity, self._now(), self._terms.leaf)
        await self._write_down(trust, who.pod_uid, request.bundle_sha256, issued)
        bundle = trust.knows(request.bundle_sha256)
        self._metrics.issued.inc()
        self._metrics.bundles.labels(bundle).inc()
        self._log.info("certificate issued", identity=identity, not_after=issued.not_after.isoformat(), bundle=bundle)
        return CertifyResponse(leaf=issued.leaf, chain=issued.chain, not_after=int(issued.not_after.timestamp()))

    async def _trust(self, bundle_sha256: bytes) -> Trust:
        """What to sign under. A bundle that this replica does not know may be newer than what it knows."""
        trust = self._anchors.signing
        if trust is None or trust.knows(bundle_sha256) == "old":
            await self._anchors.catch_up()
            trust = self._anchors.signing
        if trust is None:
            raise IssuerExpiredError("there is no issuer yet, or its anchor is still on its way to the proxies")
        if not self._anchors.fresh:
            raise IssuerExpiredError("identity cannot read its Secrets: see its log")
        return trust

    async def _write_down(self, trust: Trust, pod_uid: str, bundle_sha256: bytes, issued: Issued) -> None:
        """While the anchor is rotated, no leaf is given away that nobody would wait for."""
        proof = trust.proof(self._ledger.state, bundle_sha256)
        not_after, now = int(issued.not_after.timestamp()), int(self._now().timestamp())
        state = await self._ledger.record(pod_uid, proof, not_after, now)
        if not may_issue(state.phase, proof):
            self._anchors.touch()
            raise BundleOldError("the trust anchor is being rotated: ask again with the new bundle")


async def _request(context: Context) -> CertifyRequest:
    try:
        async with asyncio.timeout(MESSAGE_SECONDS):
            data: object = await context.read()
    except TimeoutError:
        raise MessageLateError(f"the request is not whole after {MESSAGE_SECONDS:g} s") from None
    if not isinstance(data, bytes):
        # To the caller, gRPC itself says which: RESOURCE_EXHAUSTED goes before the status given here.
        raise MessageError(f"there is no request, or it is larger than {MAX_MESSAGE} bytes")
    try:
        return CertifyRequest.FromString(data)
    except DecodeError:
        raise MessageError("the request does not parse") from None


def _caller(context: Context) -> tuple[str, bool]:
    """Who is on the other side, as far as that is sure before the token is; and whether by a certificate."""
    metadata = {name: str(value) for name, value in context.invocation_metadata() or ()}
    if identity := metadata.get(CLIENT_ID):
        return identity, True
    return metadata.get(CLIENT_ADDRESS) or context.peer(), False


async def start(servicer: Identity, listen: Address) -> tuple[grpc.aio.Server, int]:
    """A running server and its port."""
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.so_reuseport", 0),
        ("grpc.max_connection_age_ms", MAX_AGE_MS),
        ("grpc.max_connection_age_grace_ms", GRACE_MS),
        # gRPC's default of 1,000 sends away uncounted whoever comes while a flood is being counted.
        ("grpc.server.max_pending_requests", MAX_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_CALLS),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=MAX_CALLS)
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(servicer.certify)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"Certify": handler})])
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
