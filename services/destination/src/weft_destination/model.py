"""What destination knows and says, as plain values: no Kubernetes, no protobuf, no clock.

Facts (`Service`, `Slice`, `Pod`, `Profile`) are what Kubernetes says, cut down to what matters here. Answers
(`Outbound`, `Endpoints`, `Inbound`) follow from facts and are what a proxy asks for by a target.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from weft_destination.policy import model as policy
from weft_destination.route import NO_SETTINGS, Breaker, RetryBudget, Route, Settings

Key: TypeAlias = tuple[str, str]
"""Namespace and name."""


class Protocol(enum.IntEnum):
    """How a port speaks; numbers as in discovery/v1."""

    DETECT = 1
    HTTP1 = 2
    HTTP2 = 3
    GRPC = 4
    OPAQUE = 5


@dataclass(frozen=True, slots=True)
class Ports:
    """A set of ports as ranges."""

    ranges: tuple[range, ...] = ()

    def __contains__(self, port: int) -> bool:
        return any(port in ports for ports in self.ranges)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service: its protocol is what appProtocol, name and annotations declare."""

    port: int
    name: str
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Service:
    """A Service."""

    key: Key
    cluster_ips: tuple[bytes, ...]
    ports: tuple[ServicePort, ...]
    access: policy.Service | None = None
    external: bool = False
    """An ExternalName: a name of DNS, without endpoints of its own."""
    settings: Settings = NO_SETTINGS
    faults: tuple[str, ...] = ()
    """Of its annotations."""
    uid: str = ""
    """Of one with faults, for Events."""

    def port(self, number: int) -> ServicePort | None:
        """The port with this number."""
        return next((port for port in self.ports if port.port == number), None)


@dataclass(frozen=True, slots=True)
class SlicePort:
    """A port of a slice: the Service port's name and the number on each endpoint."""

    name: str
    port: int
    declared: Protocol | None


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """An endpoint that takes traffic now. `pod` is a name in the slice's namespace, empty when it is no pod."""

    ip: bytes
    pod: str
    zone: str


@dataclass(frozen=True, slots=True)
class Slice:
    """An EndpointSlice, its ready endpoints only."""

    key: Key
    service: Key
    ports: tuple[SlicePort, ...]
    endpoints: tuple[SliceEndpoint, ...]

    def pods(self) -> set[Key]:
        """The pods among its endpoints."""
        return {(self.key[0], endpoint.pod) for endpoint in self.endpoints if endpoint.pod}


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. `identity` is empty without a proxy; `ips` are those that are its own as long as it runs; `opaque` is
    None without annotation."""

    key: Key
    ips: tuple[bytes, ...]
    created: str
    identity: str
    not_intercepted: Ports
    opaque: Ports | None
    workload_kind: str
    workload: str
    node_ips: tuple[bytes, ...] = ()
    """Its addresses on its node's network, which others have as well."""
    terminating: bool = False
    access: policy.Pod | None = None
    """What policies look at; None when it has ended."""

    def identity_at(self, port: int) -> str:
        """The SPIFFE ID to expect at a port; empty where the proxy does not listen in."""
        return "" if port in self.not_intercepted else self.identity


@dataclass(frozen=True, slots=True)
class Profile:
    """A ServiceProfile, its sound parts."""

    key: Key
    routes: tuple[Route, ...]
    retry_budget: RetryBudget | None
    faults: tuple[str, ...] = ()
    """Of the other parts."""


@dataclass(frozen=True, slots=True)
class OutboundTarget:
    """Where does this address lead, for clients of this namespace?"""

    ip: bytes
    port: int
    client: str = ""


@dataclass(frozen=True, slots=True)
class EndpointsTarget:
    """Who serves this port of a Service?"""

    namespace: str
    name: str
    port: int


@dataclass(frozen=True, slots=True)
class InboundTarget:
    """How is this port of the asking pod to be treated?"""

    namespace: str
    pod: str
    port: int


Target: TypeAlias = OutboundTarget | EndpointsTarget | InboundTarget


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests can go, with the labels of their metrics."""

    ip: bytes
    port: int
    identity: str = ""
    zone: str = ""
    namespace: str = ""
    pod: str = ""
    workload_kind: str = ""
    workload: str = ""

    @property
    def address(self) -> tuple[bytes, int]:
        """What tells endpoints of a set apart."""
        return self.ip, self.port


@dataclass(frozen=True, slots=True)
class ToService:
    """An address of a Service: the proxy chooses among its endpoints."""

    service: EndpointsTarget
    protocol: Protocol
    routes: tuple[Route, ...]
    retry_budget: RetryBudget | None = None
    breaker: Breaker | None = None
    no_match_not_found: bool = False
    """Requests that no route matches are answered with 404; else they go to the Service."""


@dataclass(frozen=True, slots=True)
class ToPod:
    """The address of a pod: that pod and no other."""

    endpoint: Endpoint
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class NotInMesh:
    """Neither: go on to the address as dialled, if `egress` lets it."""

    protocol: Protocol
    egress: policy.Egress | None = None


Outbound: TypeAlias = ToService | ToPod | NotInMesh


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints of a Service's port by address, in the order of addresses."""

    exists: bool
    endpoints: tuple[Endpoint, ...] = ()

    @classmethod
    def of(cls, endpoints: Iterable[Endpoint]) -> "Endpoints":
        """An existing Service's; the order given does not matter."""
        return cls(True, tuple(sorted(endpoints, key=lambda e: e.address)))


@dataclass(frozen=True, slots=True)
class Inbound:
    """How a port of a pod is to be treated; without `access` anyone may call."""

    protocol: Protocol
    access: policy.Access | None = None


Answer: TypeAlias = Outbound | Endpoints | Inbound

Dependency: TypeAlias = tuple[str, str, str] | tuple[str, str] | tuple[str, bytes]
"""What an answer rests on: all about a Service, an address, a pod, or what a namespace's policies say."""


def on_service(key: Key) -> Dependency:
    """The Service, its endpoints and their pods."""
    return "service", *key


def on_address(ip: bytes) -> Dependency:
    """The owner of an address."""
    return "address", ip


def on_pod(key: Key) -> Dependency:
    """A pod and the Services that it serves."""
    return "pod", *key


def on_policies(namespace: str) -> Dependency:
    """Who may call the pods of a namespace, and what they may call."""
    return "policies", namespace


def dependencies(target: Target) -> tuple[Dependency, ...]:
    """All whose changes can change the answer to a target."""
    match target:
        case OutboundTarget(ip=ip, client=client):
            return on_address(plain_ip(ip)), on_policies(client)
        case EndpointsTarget(namespace=namespace, name=name):
            return (on_service((namespace, name)),)
        case InboundTarget(namespace=namespace, pod=pod):
            return on_pod((namespace, pod)), on_policies(namespace)


def plain_ip(ip: bytes) -> bytes:
    """IPv4 in IPv6's clothes (::ffff:10.0.0.1), as dual-stack sockets show it, is IPv4."""
    return ip[12:] if len(ip) == 16 and ip[:12] == bytes(10) + b"\xff\xff" else ip
