"""Live requests counted by who called what."""

from collections.abc import Iterable
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
    cancelled: int = 0
    best: float = float("inf")
    worst: float = 0.0
    last: float = 0.0

    def add(self, exchange: Exchange) -> None:
        """Count one more."""
        self.count += 1
        self.successes += exchange.result == "success"
        self.cancelled += exchange.result == "cancelled"
        self.best = min(self.best, exchange.latency)
        self.worst = max(self.worst, exchange.latency)
        self.last = exchange.latency

    @property
    def success(self) -> float | None:
        """Share of successes; what the client cancelled is neither success nor failure."""
        judged = self.count - self.cancelled
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

    def rows(self) -> list[tuple[Key, Tally]]:
        """Most frequent first."""
        return sorted(self._tallies.items(), key=lambda row: (-row[1].count, row[0]))


def cells(rows: Iterable[tuple[Key, Tally]]) -> list[list[str]]:
    """The table's cells."""
    return [
        [
            *key,
            str(tally.count),
            *(milliseconds(time) for time in (tally.best, tally.worst, tally.last)),
            percent(tally.success),
        ]
        for key, tally in rows
    ]


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
        "best_seconds": tally.best,
        "worst_seconds": tally.worst,
        "last_seconds": tally.last,
        "success_rate": tally.success,
    }
