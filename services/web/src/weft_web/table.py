"""From Prometheus' answers to numbers by row. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

import msgspec

from weft_web.histogram import quantiles
from weft_web.model import Latency, Totals

Group = tuple[str, ...]
QUANTILES = (0.5, 0.95, 0.99)


class Labels(msgspec.Struct, frozen=True, gc=False):
    """Every label that a query may group by; empty where a series lacks it.

    There may be 100,000 of them: a struct of fixed names is read several times as fast as a dictionary.
    """

    namespace: str = ""
    pod: str = ""
    workload_kind: str = ""
    workload: str = ""
    owner: str = ""
    service_account: str = ""
    dst_namespace: str = ""
    dst_service: str = ""
    dst_workload_kind: str = ""
    dst_workload: str = ""
    peer_identity: str = ""
    tls: str = ""
    route: str = ""
    result: str = ""
    status: str = ""
    grpc_status: str = ""
    code: str = ""
    policy: str = ""
    mode: str = ""
    destination: str = ""
    verdict: str = ""
    state: str = ""
    endpoint: str = ""
    reason: str = ""
    le: str = ""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One series of an answer."""

    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Span:
    """One series of an answer over time: values by seconds since the epoch."""

    labels: Labels
    values: Mapping[float, float]


def group(samples: Iterable[Sample], labels: tuple[str, ...]) -> dict[Group, float]:
    """Values by the values of two labels or more."""
    row: Callable[[Labels], Group] = attrgetter(*labels)
    return {row(sample.labels): sample.value for sample in samples}


@dataclass(slots=True)
class Outcomes:
    """Requests by result."""

    counts: dict[str, float] = field(default_factory=dict)

    @property
    def success(self) -> float | None:
        """Share of success among what succeeded or failed; None without either."""
        good, bad = self.counts.get("success", 0.0), self.counts.get("failure", 0.0)
        return good / (good + bad) if good + bad > 0 else None

    def rps(self, window: int) -> float:
        """Requests a second, cancelled and denied ones included."""
        return sum(self.counts.values()) / window

    def denied_rps(self, window: int) -> float:
        """Those of them a second that a policy or rate limit refused."""
        return self.counts.get("denied", 0.0) / window

    def totals(self) -> Totals:
        """As whole numbers."""
        return Totals(**{name: round(self.counts.get(name, 0)) for name in ("success", "failure", "cancelled")})


def outcomes(samples: Iterable[Sample], labels: tuple[str, ...]) -> dict[Group, Outcomes]:
    """Requests by row and result."""
    rows: dict[Group, Outcomes] = defaultdict(Outcomes)
    for (*row, result), value in group(samples, (*labels, "result")).items():
        rows[tuple(row)].counts[result] = value
    return dict(rows)


def latencies(samples: Iterable[Sample], labels: tuple[str, ...]) -> dict[Group, Latency]:
    """Quantiles by row, from its buckets; rows without an observation are left out."""
    rows: dict[Group, dict[float, float]] = defaultdict(dict)
    for (*row, bound), value in group(samples, (*labels, "le")).items():
        rows[tuple(row)][float(bound)] = value
    found = {row: quantiles(QUANTILES, buckets) for row, buckets in rows.items()}
    return {row: _latency(values) for row, values in found.items() if values}


def _latency(values: list[tuple[float, bool]]) -> Latency:
    p50, p95, p99 = (value for value, _ in values)
    beyond = [name for name, (_, at_least) in zip(("p50", "p95", "p99"), values, strict=True) if at_least]
    return Latency(p50, p95, p99, beyond)
