"""A whole tap in the process: Kubernetes on a socket, real TLS, a CONNECT proxy, and proxies that serve gRPC."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from grpc import aio
from weft_api.tap.v1 import tap_pb2
from weft_http.server import serving
from weft_kube.api import KubeApi
from weft_kube.objects import Pod
from weft_kube.watch import Reflector, Resource
from weft_pki.bundle import bundle_pem
from weft_pki.issue import Authority as Signer
from weft_pki.issue import new_anchor
from weft_pki.keys import key_pem, new_key
from weft_runtime.config import Address
from weft_tap.authority import Authority
from weft_tap.metrics import Metrics
from weft_tap.pods import Pods
from weft_tap.server import Taps, application
from weft_tap.session import connector
from weft_testkit.fake_kube import FakeKube, Recorded
from weft_testkit.objects import Json
from weft_webhook.ca_bundle import api_service
from weft_webhook.serving import ServingCertificate

NOW = datetime.now(UTC)


class Proxy:
    """The tap port of proxies: sends what is put into `events`, notes what it was asked."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[tap_pb2.Event | bytes] = asyncio.Queue()
        """Bytes are sent as they are."""
        self.asked: list[tap_pb2.ObserveRequest] = []
        self.open = 0

    async def observe(
        self, request: tap_pb2.ObserveRequest, context: aio.ServicerContext[object, object]
    ) -> AsyncIterator[tap_pb2.Event | bytes]:
        """Until cancelled."""
        self.asked.append(request)
        self.open += 1
        try:
            await context.send_initial_metadata([])
            while True:
                yield await self.events.get()
        finally:
            self.open -= 1


@dataclass
class Tunnel:
    """Our own proxy's CONNECT listener: every authority leads to one port; those it was asked for are noted."""

    port: int
    authorities: list[str] = field(default_factory=list)
    refuse: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.authorities.append(head.split()[1])
        if self.refuse:
            writer.write(b"HTTP/1.1 502 E106\r\n\r\n")
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        async with asyncio.TaskGroup() as both:
            both.create_task(_copy(reader, far_writer))
            both.create_task(_copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    writer.close()


def client_context(signer: Signer, name: str, folder: Path) -> ssl.SSLContext:
    """TLS of a client with a certificate of this common name."""
    key = new_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(minutes=1))
        .not_valid_after(NOW + timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer.key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(key_pem(key) + bundle_pem([certificate]))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(file)
    return context


@dataclass
class Lab:
    """What tests talk with."""

    url: str
    kube: FakeKube
    proxy: Proxy
    tunnel: Tunnel
    signer: Signer
    folder: Path
    authority: Authority
    pods: Pods
    reviews: list[Json] = field(default_factory=list)
    allowed: bool = True

    def session(self, name: str | None = "front-proxy-client", signer: Signer | None = None) -> aiohttp.ClientSession:
        """A client as the API server is one; None: without a certificate."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if name is not None:
            context = client_context(signer or self.signer, name, self.folder)
        headers = {"X-Remote-User": "jane", "X-Remote-Group": "devs"}
        return aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(ssl=context), headers=headers)

    async def has(self, pod: Json) -> None:
        """Puts a pod into the cluster and waits until tap knows it."""
        changed = self.pods.changed
        self.kube.put(pod)
        await changed.wait()

    def review(self, request: Recorded) -> Json:
        """Answers a SubjectAccessReview."""
        self.reviews.append(request.body["spec"])
        return {"status": {"allowed": self.allowed, "reason": "" if self.allowed else "no RBAC policy matched"}}


def config_map(signer: Signer) -> Json:
    """kube-system/extension-apiserver-authentication."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "requestheader-client-ca-file": bundle_pem([signer.certificate]).decode(),
            "requestheader-allowed-names": '["front-proxy-client"]',
        },
    }


async def _grpc(proxy: Proxy, stack: AsyncExitStack) -> int:
    server = aio.server()
    handler: Any = grpc.unary_stream_rpc_method_handler(
        proxy.observe,
        request_deserializer=tap_pb2.ObserveRequest.FromString,
        response_serializer=lambda event: event if isinstance(event, bytes) else event.SerializeToString(),
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("weft.tap.v1.Tap", {"Observe": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stack.push_async_callback(server.stop, None)
    return port


async def _background(stack: AsyncExitStack, *work: Callable[[], object]) -> None:
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    for run in work:
        task = tasks.create_task(run())  # type: ignore[arg-type]
        stack.callback(task.cancel)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """Everything started and ready."""
    async with AsyncExitStack() as stack:
        kube = await stack.enter_async_context(FakeKube())
        api = await stack.enter_async_context(KubeApi(kube.cluster))
        signer = new_anchor(NOW, name="front proxy CA")
        kube.put(config_map(signer))
        kube.put(
            {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1"}, "spec": {}}
        )
        proxy, pods, stop = Proxy(), Pods(), asyncio.Event()
        tunnel = Tunnel(await _grpc(proxy, stack))
        listener = await asyncio.start_server(tunnel.serve, "127.0.0.1", 0)
        stack.callback(listener.close)
        certificate = ServingCertificate(api, "tap", [api_service("v1")])
        authority = Authority(api, certificate.context, stop)
        reflector = Reflector(api, Resource("/api/v1/pods", Pod), pods)
        connect = connector(Address("127.0.0.1", listener.sockets[0].getsockname()[1]))
        app = application(Taps(api, authority, pods, connect, Metrics("test")))
        await _background(stack, certificate.run, authority.run, reflector.run)
        for ready in (certificate.ready, authority.ready, reflector.state.synced):
            await ready.wait()
        port = await stack.enter_async_context(serving(app, "127.0.0.1", 0, ssl=certificate.context))
        made = Lab(f"https://127.0.0.1:{port}", kube, proxy, tunnel, signer, tmp_path, authority, pods)
        kube.on_request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", made.review)
        yield made
