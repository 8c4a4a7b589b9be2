"""The fields of Kubernetes objects that weft reads, and no others: what is not named here is never decoded."""

from typing import Any

from msgspec import Struct, field


class OwnerReference(Struct, frozen=True, rename="camel"):
    """Who made an object."""

    kind: str
    name: str
    uid: str = ""
    controller: bool = False


class Meta(Struct, rename="camel"):
    """metadata of any object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    generate_name: str = ""
    creation_timestamp: str | None = None
    """None in objects that no server has stored yet: reviews send a null."""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[OwnerReference] = []


class Object(Struct, rename="camel"):
    """Any object, by its metadata alone."""

    metadata: Meta

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.metadata.namespace, self.metadata.name


class Namespace(Object):
    """v1 Namespace."""


class ContainerPort(Struct, rename="camel"):
    """A port that a container declares."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"


class HttpGet(Struct, rename="camel"):
    """A request of the kubelet: a probe or a hook."""

    port: int | str
    path: str = ""
    scheme: str = ""
    host: str = ""


class GrpcProbe(Struct):
    """A probe by gRPC's health protocol."""

    port: int


class Probe(Struct, rename="camel"):
    """A probe, as far as a proxy sees it."""

    http_get: HttpGet | None = None
    grpc: GrpcProbe | None = None


class Lifecycle(Struct, rename="camel"):
    """Hooks of a container; they ask as probes do, but never by gRPC."""

    post_start: Probe | None = None
    pre_stop: Probe | None = None


class Container(Struct, rename="camel"):
    """A container of a pod, as far as ports and probes go."""

    name: str
    image: str = ""
    ports: list[ContainerPort] = []
    restart_policy: str = ""
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None


class PodSpec(Struct, rename="camel"):
    """spec of a Pod."""

    containers: list[Container] = []
    init_containers: list[Container] = []
    service_account_name: str = "default"
    node_name: str = ""
    host_network: bool = False


class Condition(Struct, rename="camel"):
    """A status condition."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class PodIP(Struct):
    """One address of a pod."""

    ip: str


class ContainerStateReason(Struct, rename="camel"):
    """Why a container waits or ended."""

    reason: str = ""
    message: str = ""


class ContainerState(Struct):
    """State of a container; the set one tells which."""

    waiting: ContainerStateReason | None = None
    terminated: ContainerStateReason | None = None


class ContainerStatus(Struct, rename="camel"):
    """Status of a container."""

    name: str
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = field(default_factory=ContainerState)


class PodStatus(Struct, rename="camel"):
    """status of a Pod."""

    phase: str = ""
    reason: str = ""
    pod_ips: list[PodIP] = field(default_factory=list, name="podIPs")
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []
    init_container_statuses: list[ContainerStatus] = []


class Pod(Object):
    """v1 Pod."""

    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)


class ServicePort(Struct, rename="camel"):
    """A port of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str = ""
    target_port: int | str = 0


class ServiceSpec(Struct, rename="camel"):
    """spec of a Service."""

    cluster_ips: list[str] = field(default_factory=list, name="clusterIPs")
    ports: list[ServicePort] = []
    selector: dict[str, str] = {}
    type: str = "ClusterIP"


class Service(Object):
    """v1 Service."""

    spec: ServiceSpec = field(default_factory=ServiceSpec)


class EndpointConditions(Struct):
    """Conditions of an endpoint; ready None means true (KEP-752)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class TargetRef(Struct):
    """What an endpoint is made from."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class SliceEndpoint(Struct, rename="camel"):
    """One endpoint of a slice: its addresses serve all the slice's ports."""

    addresses: list[str]
    conditions: EndpointConditions = field(default_factory=EndpointConditions)
    target_ref: TargetRef | None = None
    zone: str = ""
    node_name: str = ""
    hostname: str = ""


class SlicePort(Struct, rename="camel"):
    """A port of a slice, by the Service port's name."""

    port: int | None = None
    name: str | None = ""
    protocol: str = "TCP"
    app_protocol: str | None = None


class EndpointSlice(Object):
    """discovery.k8s.io/v1 EndpointSlice."""

    address_type: str = "IPv4"
    endpoints: list[SliceEndpoint] | None = None
    ports: list[SlicePort] | None = None

    @property
    def service(self) -> tuple[str, str]:
        """Namespace and name of its Service; an empty name when it belongs to none."""
        return self.metadata.namespace, self.metadata.labels.get("kubernetes.io/service-name", "")


class AccessPolicy(Object):
    """weft.dev/v1alpha1 AccessPolicy; its spec is decoded by who reads it."""

    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


class ServiceProfile(Object):
    """weft.dev/v1alpha1 ServiceProfile; its spec is decoded by who reads it."""

    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


class GatewayRoute(Object):
    """gateway.networking.k8s.io/v1 HTTPRoute or GRPCRoute; its spec is decoded by who reads it."""

    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}


class GrantFrom(Struct):
    """Objects that a ReferenceGrant trusts."""

    group: str
    kind: str
    namespace: str


class GrantTo(Struct):
    """What they may name; no name: all of the kind."""

    group: str
    kind: str
    name: str = ""


class GrantSpec(Struct):
    """spec of a ReferenceGrant."""

    from_: list[GrantFrom] = field(default_factory=list, name="from")
    to: list[GrantTo] = []


class ReferenceGrant(Object):
    """gateway.networking.k8s.io/v1beta1 ReferenceGrant."""

    spec: GrantSpec = field(default_factory=GrantSpec)
