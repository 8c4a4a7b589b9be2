"""Merges a cell's JSON, from stdin, into bench/results/scale.json: merge.py CELL. Tells what became of each goal, and
fails when one is missed or a proxy ended with anything but the truth."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "bench/results/scale.json"
# The figures of DESIGN's section 7 and the cell that gives each.
FIGURES = {
    "rss_mb": "fanout",
    "event_to_proxy_p50_ms": "fanout",
    "event_to_proxy_p99_ms": "fanout",
    "hot_service_5000_s": "fanout",
    "messages_per_s_core": "fanout",
    "recover_s": "fanout",
    "stale_streams": "fanout",
    "certs_per_s_core": "identity",
    "reviews_per_s_core": "webhook",
    "api_slowest_s": "web",
    "first_paint_s": "dashboard",
    "idle_rss_mb": "idle",
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of a figure of a cell."""

    cell: str
    name: str
    bound: float
    least: bool = False

    def told(self, value: float) -> tuple[bool, str]:
        """Is it reached? And a line that says so."""
        reached = value >= self.bound if self.least else value <= self.bound
        relation = "at least" if self.least else "at most"
        return reached, f"{'holds ' if reached else 'MISSED'} {self.name} {value:g}: {relation} {self.bound:g}"


GOALS = (
    Goal("fanout", "rss_mb", 320),
    Goal("fanout", "event_to_proxy_p50_ms", 2),
    Goal("fanout", "event_to_proxy_p99_ms", 25),
    Goal("fanout", "hot_service_5000_s", 0.4),
    Goal("fanout", "messages_per_s_core", 15_000, least=True),
    Goal("fanout", "recover_s", 30),
    Goal("fanout", "recover_resent", 0),
    Goal("fanout", "recover_missed", 0),
    Goal("fanout", "stale_streams", 0),
    Goal("replicas", "resent", 0),
    Goal("replicas", "stale_streams", 0),
    Goal("cluster", "stale_streams", 0),
    Goal("identity", "certs_per_s_core", 750, least=True),
    Goal("identity", "flood_given", 500),
    Goal("identity", "flood_others_failed", 0),
    Goal("webhook", "reviews_per_s_core", 2000, least=True),
    Goal("web", "api_slowest_s", 1),
    Goal("dashboard", "first_paint_s", 1),
)


def judged(cell: str, part: dict[str, Any]) -> Iterator[tuple[bool, str]]:
    """Of each goal of a cell: is it reached, and a line. A figure that is not there misses its goal."""
    for goal in GOALS:
        if goal.cell == cell:
            yield goal.told(part[goal.name]) if goal.name in part else (False, f"MISSED {goal.name}: not measured")


def merged(before: dict[str, Any], cell: str, part: dict[str, Any]) -> dict[str, Any]:
    """The results with the cell's part in place of its earlier one."""
    cells = {**before.get("cells", {}), cell: part}
    figures = {name: cells[of][name] for name, of in FIGURES.items() if name in cells.get(of, {})}
    return {**figures, "cells": dict(sorted(cells.items()))}


if __name__ == "__main__":
    [_, cell] = sys.argv
    part = json.load(sys.stdin)
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(merged(before, cell, part), indent=1) + "\n")
    verdicts = list(judged(cell, part))
    print(*(f"{cell}: {line}" for _, line in verdicts), sep="\n", file=sys.stderr)
    sys.exit(not all(reached for reached, _ in verdicts))
