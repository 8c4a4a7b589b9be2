"""What a proxy does with requests to a Service: routes as discovery/v1 tells them, whatever object they come from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias


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
    """A kind of request: all that is given must hold."""

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


Filter: TypeAlias = HeaderChange | Redirect | Rewrite


@dataclass(frozen=True, slots=True)
class Answer:
    """What the proxy answers itself, for a rule that cannot be followed."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a share of the requests goes: a port of a Service, or an answer to those that draw it."""

    namespace: str
    name: str
    port: int
    weight: int = 1
    filters: tuple[Filter, ...] = ()
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """What is retried and how often; neither statuses nor codes: what the proxy classifies as a failure."""

    statuses: tuple[int, ...] = ()
    grpc_codes: tuple[int, ...] = ()
    limit: int = 1
    """0: nothing is sent again, not even what reached nobody."""
    backoff_ms: int = 0
    listed_only: bool = False
    """No failure counts that is not listed, even if none is: what reached no application is sent again at any rate."""

    @property
    def happens(self) -> bool:
        """Is anything asked for again that an application may have seen?"""
        return self.limit > 0 and bool(self.statuses or self.grpc_codes or not self.listed_only)


@dataclass(frozen=True, slots=True)
class ResponseClass:
    """Whether responses of some statuses, both ends included, count as failures."""

    min_status: int
    max_status: int
    failure: bool


Inherited: TypeAlias = tuple[str, str]
"""What annotations say of a route ("timeout", "try-timeout", "retry"), and whose they are."""


@dataclass(frozen=True, slots=True)
class Route:
    """A class of requests of a Service and what becomes of them; no matches: all, no backends: the Service itself."""

    name: str
    matches: tuple[Match, ...] = ()
    timeout_ms: int | None = None
    """None: not said; 0: said to be none."""
    retryable: bool = False
    backends: tuple[Backend, ...] = ()
    filters: tuple[Filter, ...] = ()
    backend_timeout_ms: int = 0
    retry: Retry | None = None
    answer: Answer | None = None
    response_classes: tuple[ResponseClass, ...] = ()
    origin: str = field(default="", compare=False)
    """The object and the rule that say so, for people: "HTTPRoute shop/web rules[0]"."""
    inherited: tuple[Inherited, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """How many retries a client may add."""

    ratio_permille: int = 200
    min_retries_per_second: int = 10
    ttl_ms: int = 10_000
    origin: str = field(default="default", compare=False)
    """The object that says so, for people."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """When an endpoint is left out; 0 is the proxy's own default, but for `max_failures`: never."""

    max_failures: int = 7
    min_penalty_ms: int = 0
    max_penalty_ms: int = 0
    min_success_permille: int = 0
    window_ms: int = 0
    min_requests: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a Service's annotations say of all requests to it; None: nothing."""

    timeout_ms: int | None = None
    backend_timeout_ms: int | None = None
    retry: Retry | None = None
    budget: RetryBudget | None = None
    breaker: Breaker | None = None

    def under(self, other: "Settings") -> "Settings":
        """What the other says, and of these what it does not."""
        if other is NO_SETTINGS:
            return self
        return Settings(
            self.timeout_ms if other.timeout_ms is None else other.timeout_ms,
            self.backend_timeout_ms if other.backend_timeout_ms is None else other.backend_timeout_ms,
            other.retry or self.retry,
            self.budget,
            self.breaker,
        )

    def adds(self, other: "Settings") -> Iterator[str]:
        """What these say and the other does not, by the names of `Inherited`."""
        for name, ours, theirs in (
            ("timeout", self.timeout_ms, other.timeout_ms),
            ("try-timeout", self.backend_timeout_ms, other.backend_timeout_ms),
            ("retry", self.retry, other.retry),
        ):
            if ours is not None and theirs is None:
                yield name


NO_SETTINGS = Settings()
