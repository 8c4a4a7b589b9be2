"""Identity and discovery for the proxies of `mesh.py`, by one rule that never changes, in plain text.

    plane.py 127.0.0.1:18081 FOLDER

FOLDER holds issuer.crt and issuer.key. A token is "<namespace>/<service account>" and is believed.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
from cryptography import x509
from weft_api.discovery.v1 import discovery_pb2 as discovery
from weft_api.discovery.v1 import discovery_pb2_grpc
from weft_api.identity.v1 import identity_pb2 as identity
from weft_api.identity.v1 import identity_pb2_grpc
from weft_pki.csr import requested_key
from weft_pki.issue import Authority, der, workload_leaf
from weft_pki.keys import load_key

MESHED = "10.78.0.1"
"""The address of Service shop/web: every port of it is that port of the server's pod."""
UNMESHED = "10.78.0.2"
"""The address of Service shop/plain: every port of it is that port of the node, where there is no proxy."""
SERVER_POD = "10.77.2.2"
NODE = "10.77.1.1"
LIFETIME = timedelta(hours=24)


def spiffe(namespace: str, account: str) -> str:
    """The SPIFFE ID of a service account."""
    return f"spiffe://cluster.local/ns/{namespace}/sa/{account}"


class Identity(identity_pb2_grpc.IdentityServicer):
    """Signs for whoever asks."""

    def __init__(self, issuer: Authority) -> None:
        self.issuer = issuer

    def Certify(self, request: identity.CertifyRequest, context: grpc.ServicerContext) -> identity.CertifyResponse:
        """The contract's one call."""
        name = spiffe(*request.token.split("/"))
        leaf = workload_leaf(self.issuer, requested_key(request.csr, name), name, datetime.now(UTC), LIFETIME)
        chain = [der(certificate) for certificate in self.issuer.chain]
        return identity.CertifyResponse(
            leaf=der(leaf), chain=chain, not_after=int(leaf.not_valid_after_utc.timestamp())
        )


class Discovery(discovery_pb2_grpc.DiscoveryServicer):
    """Answers every target at once, and never changes its mind."""

    def Subscribe(
        self, requests: Iterator[discovery.Request], context: grpc.ServicerContext
    ) -> Iterator[discovery.Update]:
        """The contract's one call."""
        for request in requests:
            if request.HasField("watch"):
                yield answer(request.watch.target)


def answer(target: discovery.Target) -> discovery.Update:
    """The state of a target."""
    update = discovery.Update(target=target, version="1")
    match target.WhichOneof("kind"):
        case "outbound":
            update.outbound.CopyFrom(_outbound(target.outbound))
        case "endpoints":
            update.endpoints.CopyFrom(_endpoints(target.endpoints))
        case _:
            update.inbound.protocol = discovery.PROTOCOL_DETECT
    return update


def _outbound(address: discovery.SocketAddress) -> discovery.Outbound:
    outbound = discovery.Outbound(protocol=discovery.PROTOCOL_DETECT)
    name = {MESHED: "web", UNMESHED: "plain"}.get(str(ip_address(address.ip)))
    if name is None:
        outbound.not_in_mesh.SetInParent()
    else:
        outbound.service.service.CopyFrom(discovery.ServicePort(namespace="shop", name=name, port=address.port))
    return outbound


def _endpoints(service: discovery.ServicePort) -> discovery.Endpoints:
    meshed = service.name == "web"
    address = discovery.SocketAddress(ip=ip_address(SERVER_POD if meshed else NODE).packed, port=service.port)
    endpoint = discovery.Endpoint(
        address=address,
        weight=1,
        identity=spiffe("shop", "web") if meshed else "",
        namespace="shop",
        pod=f"{service.name}-1",
        workload_kind="deployment",
        workload=service.name,
    )
    return discovery.Endpoints(endpoints=[endpoint], exists=True)


def main(listen: str, folder: Path) -> None:
    """Serves until it is killed."""
    key = load_key((folder / "issuer.key").read_bytes())
    issuer = Authority(x509.load_pem_x509_certificate((folder / "issuer.crt").read_bytes()), key)
    server = grpc.server(ThreadPoolExecutor(16))
    identity_pb2_grpc.add_IdentityServicer_to_server(Identity(issuer), server)
    discovery_pb2_grpc.add_DiscoveryServicer_to_server(Discovery(), server)
    server.add_insecure_port(listen)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
