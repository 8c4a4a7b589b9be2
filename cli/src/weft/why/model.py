"""Evidence and causes as plain values. Times are seconds since the epoch; durations are seconds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

REVISION = re.compile(r"(.+)-[bcdfghjklmnpqrstvwxz2456789]{1,10}")
"""Name of a ReplicaSet that a Deployment made: the hash has no vowels."""

RUN = re.compile(r"(.+)-\d{8,}")
"""Name of a Job that a CronJob made."""


class Ref(NamedTuple):
    """An object."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def maker(self) -> "Ref":
        """The Deployment or CronJob that its name tells of; itself if there is none."""
        if self.kind == "replicaset" and (made := REVISION.fullmatch(self.name)):
            return Ref(self.namespace, "deployment", made[1])
        if self.kind == "job" and (made := RUN.fullmatch(self.name)):
            return Ref(self.namespace, "cronjob", made[1])
        return self


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod. `waiting` and `ended` are reasons as the kubelet gives them; empty: neither."""

    name: str
    ready: bool = True
    running: bool = True
    restarts: int = 0
    waiting: str = ""
    message: str = ""
    ended: str = ""
    """Why it last ended: Error, OOMKilled, Completed."""
    ended_at: float = 0.0
    exit_code: int = 0


class Declared(NamedTuple):
    """A port that a container declares; its name may be empty."""

    number: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.number})" if self.name else str(self.number)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod; `owner` is the workload that it belongs to."""

    namespace: str
    name: str
    owner: Ref
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: bool = True
    meshed: bool = True
    wants_proxy: bool = True
    """Its namespace or template is marked for injection."""
    created: float = 0.0
    unschedulable: str = ""
    """Why no node takes it."""
    containers: tuple[Container, ...] = ()
    ports: tuple[Declared, ...] = ()

    @property
    def ref(self) -> Ref:
        """The pod as an object."""
        return Ref(self.namespace, "pod", self.name)


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a Service; `target` is a number or the name of a container's port, as written."""

    number: int
    target: str


@dataclass(frozen=True, slots=True)
class Service:
    """A Service, and how many of its endpoints are ready."""

    namespace: str
    name: str
    selector: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    ready: int = 1
    external: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """What makes pods with `labels`; `rolled_out`: when the version in use began; 0 if it is not new."""

    ref: Ref
    replicas: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    rolled_out: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """An exchange as one proxy saw it."""

    outbound: bool
    src: Ref
    """Workload of the caller; of an inbound call that of its service account, as far as it is known."""
    dst: Ref
    """Workload that answered; without a name: none was reached."""
    service: str = ""
    """Name of the Service called, in the namespace of `dst`; empty inbound."""
    pod: str = ""
    """Pod that answered."""
    method: str = ""
    path: str = ""
    status: int = 200
    grpc_status: int = -1
    failed: bool = False
    cancelled: bool = False
    """By the client, or by its proxy when the route's time was over: how long it would have taken is not known."""
    latency: float = 0.0
    at: float = 0.0
    route: str = ""
    tls: str = "true"
    error: str = ""
    """`E104 no ready endpoints of svc/web.shop:80`, when a proxy made the answer."""

    @property
    def code(self) -> str:
        """E104; empty when the application answered."""
        return self.error.partition(" ")[0]

    @property
    def answer(self) -> str:
        """How it ended, in words."""
        if self.error:
            return self.error
        return f"gRPC status {self.grpc_status}" if self.grpc_status > 0 else f"HTTP {self.status}"


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event."""

    about: Ref
    reason: str
    message: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Policy:
    """A NetworkPolicy that limits what may come in to the pods of a selector."""

    namespace: str
    name: str
    selector: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was found out about a workload in trouble and those it calls."""

    subject: Ref
    now: float = 0.0
    calls: tuple[Call, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    workloads: tuple[Workload, ...] = ()
    events: tuple[Event, ...] = ()
    policies: tuple[Policy, ...] = ()
    timeouts: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    """By namespace, Service and route."""
    expiry: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """When a pod's certificate ends, by namespace and pod; 0: it has none."""
    breakers: Mapping[str, int] = field(default_factory=dict)
    """Endpoints left out by a breaker, by `service.namespace`, as the subject's proxies say."""
    unready: Mapping[str, str] = field(default_factory=dict)
    """Components of the control plane that are not ready, and why."""
    unknown_names: tuple[str, ...] = ()
    """DNS names that the subject's applications could not resolve, from their logs."""
    blind: tuple[str, ...] = ()
    """What could not be looked at, and why."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A likely cause. `weight` 0..100 ranks it: how surely it explains the trouble."""

    id: str
    weight: int
    title: str
    fix: str
    evidence: tuple[str, ...] = ()
