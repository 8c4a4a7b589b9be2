"""Values of the Gateway API as weft understands them."""

from dataclasses import dataclass, field

from weft_destination.model import Key
from weft_destination.route import NO_SETTINGS, Filter, Match, Retry, Settings

CONTROLLER = "weft.dev/mesh"
"""status.parents[].controllerName: entries of other controllers are theirs."""


@dataclass(frozen=True, slots=True)
class RankedMatch:
    """A kind of request; `rank` orders matches, the highest first. `cost`: bytes that it takes in a proxy, roughly."""

    rank: tuple[int, ...]
    match: Match
    cost: int = 0


@dataclass(frozen=True, slots=True)
class BackendRef:
    """Where a share of the requests goes. With a fault they are answered with 500."""

    namespace: str
    name: str
    port: int
    weight: int = 1
    filters: tuple[Filter, ...] = ()
    fault: str = ""
    """The reason of `ResolvedRefs: False`, a colon, the message."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to the requests of any of its matches. With a fault they are answered with 500."""

    name: str
    matches: tuple[RankedMatch, ...]
    filters: tuple[Filter, ...] = ()
    backends: tuple[BackendRef, ...] = ()
    request_timeout_ms: int | None = None
    """None: not said; 0: said to be none."""
    backend_timeout_ms: int | None = None
    retry: Retry | None = None
    """None: not said; with limit 0: none."""
    fault: str = ""
    dropped: tuple[str, ...] = ()
    """What is wrong with matches that are left out."""
    size: int = 0
    """Bytes that it takes without its matches."""


@dataclass(frozen=True, slots=True)
class Parent:
    """A parentRef that names a Service, or was meant to. `port` and `section` narrow it to ports, empty ones do not."""

    namespace: str
    name: str
    port: int = 0
    section: str = ""
    group: str = ""
    kind: str = "Service"

    @property
    def service(self) -> Key:
        """The Service's key."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTPRoute or GRPCRoute, as its author wrote it."""

    kind: str
    namespace: str
    name: str
    created: str
    generation: int
    parents: tuple[Parent, ...]
    rules: tuple[Rule, ...]
    hostnames: bool = False
    """It names hostnames, which mean nothing for Services (GEP-1294)."""
    settings: Settings = NO_SETTINGS
    """What its annotations say for rules that do not."""
    faults: tuple[str, ...] = ()
    """Of its annotations."""

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def age(self) -> tuple[str, str]:
        """The oldest first, then by namespace and name (RFC 3339 in UTC sorts as text)."""
        return self.created, f"{self.namespace}/{self.name}"

    def clients(self, parent: Parent) -> str:
        """Whose requests it is about: those of its own namespace to another's Service (a consumer's route), else
        everybody's: ""."""
        return "" if self.namespace == parent.namespace else self.namespace


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission of a ReferenceGrant: routes of a kind and namespace may name a Service (or any)."""

    kind: str
    from_namespace: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Grants:
    """A ReferenceGrant: what it permits in its namespace."""

    key: Key
    grants: frozenset[Grant] = field(default_factory=frozenset)
