"""Live requests counted by who called what."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from weft.views.exchange import Exchange
from weft.views.table import milliseconds, percent, table

HEADER = ("Source", "Destination", "Method", "Path", "Count", "Best", "Worst", "Last", "Success Rate")
MAX_ROWS = 1000
Key = tuple[str, str, str, str]


@dataclass(slots=True)
class Tally:
    """All exchanges of one source, destination, method and path. Times in seconds."""

    count: int = 0
    successes: int = 0
    failures: int = 0
    cancelled: int = 0
    denied: int = 0
    best: float = float("inf")
    worst: float = 0.0
    last: float = 0.0

    def add(self, exchange: Exchange) -> None:
        """Count one more."""
        self.count += 1
        self.successes += exchange.result == "success"
        self.failures += exchange.result == "failure"
        self.cancelled += exchange.result == "cancelled"
        self.denied += exchange.result == "denied"
        self.best = min(self.best, exchange.latency)
        self.worst = max(self.worst, exchange.latency)
        self.last = exchange.latency

    def merge(self, other: "Tally") -> None:
        """Count all of another's, too."""
        self.count += other.count
        self.successes += other.successes
        self.failures += other.failures
        self.cancelled += other.cancelled
        self.denied += other.denied
        self.best = min(self.best, other.best)
        self.worst = max(self.worst, other.worst)
        self.last = other.last

    @property
    def success(self) -> float | None:
        """Share of successes; what the client cancelled or a policy denied is neither success nor failure."""
        judged = self.successes + self.failures
        return self.successes / judged if judged else None


class Top:
    """The aggregate; bounded, since paths may hold anything."""

    def __init__(self) -> None:
        self._tallies: dict[Key, Tally] = {}
        self.left_out = 0

    def add(self, exchange: Exchange) -> None:
        """Count an exchange, unless it would be one row too many."""
        self.left_out += exchange.skipped
        path = exchange.path.partition("?")[0]
        key = (exchange.source, exchange.destination, exchange.method, path)
        if key not in self._tallies and len(self._tallies) >= MAX_ROWS:
            self.left_out += 1
            return
        self._tallies.setdefault(key, Tally()).add(exchange)

    def rows(self, order: str = "count", sources: bool = True) -> list[tuple[Key, Tally]]:
        """In this order, the highest first; without sources those of all are one row."""
        tallies = self._tallies if sources else _folded(self._tallies)
        return sorted(tallies.items(), key=lambda row: (-ORDERS[order](row[1]), -row[1].count, row[0]))


ORDERS: dict[str, Callable[[Tally], float]] = {
    "count": lambda tally: tally.count,
    "worst": lambda tally: tally.worst,
    "last": lambda tally: tally.last,
    "failures": lambda tally: tally.failures,
}
"""By what rows can be sorted."""


def _folded(tallies: dict[Key, Tally]) -> dict[Key, Tally]:
    folded: dict[Key, Tally] = {}
    for (_, *rest), tally in tallies.items():
        destination, method, path = rest
        folded.setdefault(("", destination, method, path), Tally()).merge(tally)
    return folded


def cells(rows: Iterable[tuple[Key, Tally]], sources: bool = True) -> list[list[str]]:
    """The table's cells."""
    return [
        [
            *(key if sources else key[1:]),
            str(tally.count),
            *(milliseconds(time) for time in (tally.best, tally.worst, tally.last)),
            percent(tally.success),
        ]
        for key, tally in rows
    ]


def left_out(top: Top) -> str:
    """What the counts lack; empty when they are whole."""
    return f"{top.left_out} requests are left out: too many a second (--max-rps) or paths" if top.left_out else ""


def text(top: Top) -> str:
    """The table."""
    return table(HEADER, cells(top.rows()), left=4)


def answer(top: Top) -> dict[str, Any]:
    """The table for JSON."""
    names = ("source", "destination", "method", "path")
    rows = [dict(zip(names, key, strict=True)) | _object(tally) for key, tally in top.rows()]
    return {"rows": rows, "left_out": top.left_out}


def _object(tally: Tally) -> dict[str, Any]:
    return {
        "count": tally.count,
        "cancelled": tally.cancelled,
        "denied": tally.denied,
        "best_seconds": tally.best,
        "worst_seconds": tally.worst,
        "last_seconds": tally.last,
        "success_rate": tally.success,
    }
