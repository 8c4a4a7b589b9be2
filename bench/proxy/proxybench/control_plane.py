"""A control plane that never changes: identity/v1 and discovery/v1 in plain text on the loopback.

As in the cluster, a weft proxy in gateway mode stands before it and ends mesh TLS.
"""

import ipaddress
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import grpc
from weft_api.discovery.v1 import discovery_pb2 as api
from weft_api.discovery.v1 import discovery_pb2_grpc as discovery
from weft_api.identity.v1 import identity_pb2_grpc as identity
from weft_api.identity.v1.identity_pb2 import CertifyRequest, CertifyResponse
from weft_pki.csr import requested_key
from weft_pki.issue import der, workload_leaf

from proxybench import identities
from proxybench.netns import CROWD, CROWDED, DIGITS, ENDPOINTS, HTTP1, OPAQUE, RULED, SERVICE, WOVEN

LISTEN = {"identity": 15081, "destination": 15087}
MAX_PROXIES = 8


class Identity(identity.IdentityServicer):
    """Signs for whoever shows the token "<namespace>/<service account>"."""

    def Certify(  # noqa: N802 (the contract's name)
        self,
        request: CertifyRequest,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> CertifyResponse:
        """A leaf for the token's identity."""
        namespace, account = request.token.split("/")
        spiffe_id = identities.spiffe(account, namespace)
        issuer, now = identities.issuer(), datetime.now(UTC)
        leaf = workload_leaf(issuer, requested_key(request.csr, spiffe_id), spiffe_id, now, identities.LIFETIME)
        end = int(leaf.not_valid_after_utc.timestamp())
        return CertifyResponse(leaf=der(leaf), chain=[der(c) for c in issuer.chain], not_after=end)


class Destination(discovery.DiscoveryServicer):
    """Every watched target has one state, for ever."""

    def Subscribe(  # noqa: N802 (the contract's name)
        self,
        request_iterator: Iterator[api.Request],
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> Iterator[api.Update]:
        """One update for each watch."""
        for request in request_iterator:
            if request.HasField("watch") and not request.watch.held_version:
                yield state(request.watch.target)


def state(target: api.Target) -> api.Update:
    """What there is to know of a target."""
    update = api.Update(target=target, version="1")
    match target.WhichOneof("kind"):
        case "outbound":
            update.outbound.CopyFrom(outbound(target.outbound))
        case "endpoints":
            update.endpoints.CopyFrom(endpoints(target.endpoints))
        case _:
            update.inbound.protocol = protocol(target.inbound)
            for first, strangers in ((RULED, strange), (WOVEN, woven)):
                if target.inbound - first in DIGITS:
                    update.inbound.enforced.CopyFrom(policy(10 ** (target.inbound - first), strangers))
    return update


def protocol(port: int) -> api.Protocol.ValueType:
    """Only the opaque port is declared; proxies find out what the others speak."""
    return api.PROTOCOL_OPAQUE if port == OPAQUE else api.PROTOCOL_DETECT


def policy(count: int, other: Callable[[int], api.Rule]) -> api.Policy:
    """Many rules that are about other requests; the last one lets the load in."""
    rules = [*map(other, range(count - 1)), rule("caller", "/bench/item/{}")]
    return api.Policy(rules=rules, default=api.DEFAULT_DENY, default_name="namespace shop")


def strange(number: int) -> api.Rule:
    """Of another caller, and another path."""
    return rule(f"caller-{number}", f"/bench-{number % 100}/item/{{}}")


def woven(number: int) -> api.Rule:
    """Of the caller or of the path, in turn: what is the worst for who looks for rules of both."""
    return rule(f"caller-{number}", "/bench/item/{}") if number % 2 else rule("caller", f"/bench-{number}/item/{{}}")


def rule(account: str, path: str) -> api.Rule:
    """An account may GET a kind of path."""
    client = api.Client(identity=identities.spiffe(account))
    return api.Rule(name=f"shop/{account}", clients=[client], calls=[api.CallMatch(method="GET", template=path)])


def outbound(address: api.SocketAddress) -> api.Outbound:
    """The Service at an address, with all that a Service can have: a route, retries, a breaker."""
    ip = str(ipaddress.ip_address(address.ip))
    name = "web" if ip == SERVICE else "other-" + ip.replace(".", "-")
    to = api.ServiceDestination(
        service=api.ServicePort(namespace="shop", name=name, port=address.port),
        routes=[api.Route(name="all", retryable=True)],
        retry_budget=api.RetryBudget(ratio_permille=200, min_retries_per_second=10, ttl_ms=10_000),
        breaker=api.Breaker(max_failures=5, min_penalty_ms=1000, max_penalty_ms=60_000),
    )
    return api.Outbound(service=to, protocol=protocol(address.port))


def endpoints(service: api.ServicePort) -> api.Endpoints:
    """The two pods, or a crowd of addresses that are one of them."""
    digits = service.port - CROWDED
    if digits not in DIGITS:
        return api.Endpoints(endpoints=[endpoint(ip, service.port) for ip in ENDPOINTS], exists=True)
    first = ipaddress.ip_network(CROWD)[1]
    return api.Endpoints(endpoints=[endpoint(str(first + n), HTTP1) for n in range(10**digits)], exists=True)


def endpoint(ip: str, port: int) -> api.Endpoint:
    """A meshed pod of deployment/web."""
    return api.Endpoint(
        address=api.SocketAddress(ip=ipaddress.ip_address(ip).packed, port=port),
        weight=1,
        identity=identities.spiffe("web"),
        namespace="shop",
        pod="web-1",
        workload_kind="deployment",
        workload="web",
    )


def main() -> None:
    """Serves both contracts until it is killed."""
    server = grpc.server(ThreadPoolExecutor(MAX_PROXIES))
    identity.add_IdentityServicer_to_server(Identity(), server)
    discovery.add_DiscoveryServicer_to_server(Destination(), server)
    for port in LISTEN.values():
        server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("READY", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
