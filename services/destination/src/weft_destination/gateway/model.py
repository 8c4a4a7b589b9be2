"""Values of the Gateway API as weft understands them."""

from dataclasses import dataclass, field
from enum import IntEnum

CONTROLLER = "weft.dev/mesh"
"""status.parents[].controllerName: entries of other controllers are theirs."""


class Path(IntEnum):
    """How a path is compared; the higher, the earlier it is asked."""

    ANY = 0
    PREFIX = 1
    """Whole segments: /a matches /a and /a/b, not /ab."""
    REGEX = 2
    EXACT = 3


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A header (name in lower case) or a parameter of the query, and its value or an expression over it."""

    name: str
    value: str
    regex: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A kind of request; `rank` orders matches, the highest first."""

    rank: tuple[int, ...]
    path: Path = Path.ANY
    value: str = ""
    method: str = ""
    headers: tuple[ValueMatch, ...] = ()
    queries: tuple[ValueMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """Headers to set, to add and to remove, of requests or responses."""

    response: bool = False
    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PathChange:
    """A path to put in the place of the whole one, or of the prefix that matched."""

    value: str
    prefix: bool


@dataclass(frozen=True, slots=True)
class Redirect:
    """An answer that sends the client elsewhere; empty fields stay as the request's."""

    status: int = 302
    scheme: str = ""
    hostname: str = ""
    port: int = 0
    path: PathChange | None = None


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Another host or path for the backend."""

    hostname: str = ""
    path: PathChange | None = None


Filter = HeaderChange | Redirect | Rewrite


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a share of the requests goes. With a fault they are answered with 500."""

    namespace: str
    name: str
    port: int
    weight: int = 1
    filters: tuple[HeaderChange, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """Which answers are asked for again, and how often."""

    codes: tuple[int, ...]
    attempts: int
    backoff_ms: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to the requests of any of its matches. With a fault they are answered with 500."""

    name: str
    matches: tuple[Match, ...]
    filters: tuple[Filter, ...] = ()
    backends: tuple[Backend, ...] = ()
    request_timeout_ms: int = 0
    backend_timeout_ms: int = 0
    retry: Retry | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Parent:
    """A parentRef that names a Service. `port` and `section` narrow it to ports, empty ones do not."""

    namespace: str
    name: str
    port: int = 0
    section: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTPRoute or GRPCRoute."""

    kind: str
    namespace: str
    name: str
    created: str
    generation: int
    parents: tuple[Parent, ...]
    rules: tuple[Rule, ...]
    hostnames: bool = False
    """It names hostnames, which mean nothing for Services (GEP-1294)."""

    @property
    def age(self) -> tuple[str, str]:
        """The oldest first, then by namespace and name (RFC 3339 in UTC sorts as text)."""
        return self.created, f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Service:
    """A Service, as far as routes look at it: its ports by number, and why it is no parent."""

    ports: dict[int, str] = field(default_factory=dict)
    """Names of its ports."""
    headless: bool = False
    external: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """A ReferenceGrant's permission: routes of a kind and namespace may name a Service (or any) of another."""

    kind: str
    from_namespace: str
    to_namespace: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of a parent's status."""

    type: str
    status: bool
    reason: str
    message: str = ""
