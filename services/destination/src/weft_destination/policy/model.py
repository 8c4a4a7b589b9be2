"""Values of access: what policies say, what they are about, and what follows for a port."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cached_property
from typing import TypeAlias

Key: TypeAlias = tuple[str, str]
"""Namespace and name."""

PROBE = "probe"
"""Name of the rule that lets the kubelet's probes and hooks in."""

Labels: TypeAlias = frozenset[tuple[str, str]]


class Level(IntEnum):
    """How narrow a target is; the narrowest with a rule that matches a call decides."""

    NAMESPACE = 0
    WORKLOAD = 1
    SERVICE = 2
    ROUTE = 3


class Effect(Enum):
    """What a policy does to the calls that its rules match."""

    ALLOW = "allow"
    DENY = "deny"
    LIMIT = "limit"
    EGRESS = "egress"


class Default(IntEnum):
    """What holds for calls that no rule matches; numbers as in discovery/v1."""

    ANYONE = 1
    AUTHENTICATED = 2
    DENY = 3


class Path(Enum):
    """How a path is compared."""

    ANY = "any"
    EXACT = "exact"
    PREFIX = "prefix"
    """Whole segments: /a matches /a and /a/b, not /ab."""
    TEMPLATE = "template"
    """Segment by segment, "{}" for any one that is not empty."""


@dataclass(frozen=True, slots=True)
class Network:
    """Addresses, 4 or 16 bytes, and ports; none: every port."""

    ip: bytes
    prefix_length: int
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """Who calls; exactly one field is set."""

    identity: str = ""
    namespace: str = ""
    network: Network | None = None
    authenticated: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A kind of request; an empty method is any."""

    method: str = ""
    kind: Path = Path.ANY
    path: str = ""


@dataclass(frozen=True, slots=True)
class RouteCalls:
    """The requests of a Service's route; none where it has a fault: a policy cannot tell them from others."""

    calls: tuple[Call, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Clients (none: anyone) and calls (none: every request and every connection)."""

    name: str
    deny: bool
    clients: tuple[Client, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate of requests that `clients` may make of `calls`."""

    name: str
    clients: tuple[Client, ...]
    calls: tuple[Call, ...]
    requests_per_second: int
    burst: int
    per_client: bool


@dataclass(frozen=True, slots=True)
class Egress:
    """What may be called outside the mesh, and nothing else."""

    name: str
    hosts: tuple[str, ...]
    networks: tuple[Network, ...]
    audit: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What a policy is about: a namespace, or pods by label, or those behind a Service, or one of its routes."""

    labels: Labels = frozenset()
    service: str = ""
    route: str = ""

    @property
    def level(self) -> Level:
        """How narrow it is."""
        if self.service:
            return Level.ROUTE if self.route else Level.SERVICE
        return Level.WORKLOAD if self.labels else Level.NAMESPACE


@dataclass(frozen=True, slots=True)
class Policy:
    """An AccessPolicy. `ports` are numbers and names of container ports; none: all. Of `rules`, `limits` and `egress`
    only what its effect needs is there. `faults`: what is wrong with it; then it holds nowhere."""

    key: Key
    effect: Effect
    target: Target = Target()
    ports: tuple[int | str, ...] = ()
    audit: bool = False
    rules: tuple[Rule, ...] = ()
    limits: tuple[Limit, ...] = ()
    egress: Egress | None = None
    faults: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """ "shop/menu"."""
        return "/".join(self.key)


@dataclass(frozen=True, slots=True)
class Probe:
    """A request that the kubelet makes, as a probe or a hook."""

    port: int
    call: Call


@dataclass(frozen=True, slots=True)
class Pod:
    """What policies look at of a pod; equal for all pods of a template."""

    labels: Labels = frozenset()
    ports: tuple[tuple[str, int], ...] = ()
    """Container ports of TCP, the name empty where there is none; containers may share one."""
    probes: tuple[Probe, ...] = ()
    default: str = ""
    """Annotation `config.weft.dev/default-access`."""
    workload: str = ""
    account: str = ""
    meshed: bool = True
    skipped: tuple[range, ...] = ()
    """Ports at which it is reached past its proxy."""
    skips_out: bool = False
    """Some ports or networks it dials past its proxy."""

    def number(self, port: int | str) -> int | None:
        """A port by number or name, the first of several as Services take it; None when the pod has none."""
        return port if isinstance(port, int) else next((number for name, number in self.ports if name == port), None)

    def is_one(self, number: int, port: int | str) -> bool:
        """Is it the port of this number, or one of this name?"""
        return number == port or (port, number) in self.ports


@dataclass(frozen=True, slots=True)
class Service:
    """What policies look at of a Service: whom it selects, and the ports behind it."""

    selector: tuple[tuple[str, str], ...] = ()
    targets: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True)
class Namespace:
    """What a Namespace's annotation says of the default; empty: nothing."""

    name: str
    default: str

    @property
    def key(self) -> Key:
        """Namespaces are in no namespace."""
        return "", self.name


@dataclass(frozen=True, slots=True)
class Base:
    """The default of a pod, and who set it."""

    default: Default
    audit: bool
    name: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The first rule that matches a call decides; else the default."""

    rules: tuple[Rule, ...]
    default: Default
    default_name: str


@dataclass(frozen=True)
class Access:
    """What holds at a port. Shared by all pods that it holds for; large, so its hash is made once."""

    enforced: Decision | None = None
    """None: anyone may call."""
    audited: Decision | None = None
    """As if drafts were enforced too; None: the same."""
    limits: tuple[Limit, ...] = ()
    unlimited: tuple[Call, ...] = ()
    """Probes and hooks of the pod, which no limit counts."""

    @cached_property
    def _hash(self) -> int:
        return hash((self.enforced, self.audited, self.limits, self.unlimited))

    def __hash__(self) -> int:
        return self._hash
