"""The tables of docs/performance.md, from the medians in bench/results/proxy.json."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "bench/results/proxy.json"
PAGE = ROOT / "docs/performance.md"
BEGIN, END = "<!-- written by make bench-proxy -->\n", "<!-- end -->\n"

TIMES, NONE = "\u00d7", "\u2013"
SCALE = (
    "\nCPU µs a request of weft that knows so many services; of the client's proxy alone, with one request after"
    " another to a service of so many endpoints, a connection to each; of a server with so many rules, of other"
    " callers and paths (`rules`), or by turns of the caller and of the path (`rules-woven`):\n\n"
)

Results = dict[str, dict[str, dict[str, float]]]
"""cell → peer → metric → median."""


@dataclass(frozen=True)
class Goal:
    """weft's figure against the better of Envoy's two configurations, or, with `absolute`, for itself."""

    metric: str
    limit: float
    more_is_better: bool = False
    over_direct: bool = False
    absolute: bool = False

    def met(self, value: float) -> bool:
        """Is a ratio, or a figure, as the goal wants it?"""
        return value >= self.limit if self.more_is_better else value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.more_is_better else "≤"
        return f"{sign} {self.limit:g}" + ("" if self.absolute else f" {TIMES}")


CPU = Goal("cpu_us_per_request", 0.40)
GOALS: dict[str, tuple[Goal, ...]] = {
    "h1-c16": (CPU,),
    "h1-c64": (CPU, Goal("rps", 2.5, more_is_better=True)),
    "h1-c256": (CPU,),
    "h2-c10m32": (CPU,),
    "grpc": (CPU,),
    "rate-1000": (Goal("p50_us", 0.5, over_direct=True), Goal("p99_us", 1.0)),
    "rate-5000": (Goal("p50_us", 0.5, over_direct=True), Goal("p99_us", 1.0)),
    "tcp-down": (Goal("mb_per_s", 1.0, more_is_better=True), Goal("cpu_s_per_gb", 0.90)),
    "tcp-up": (Goal("mb_per_s", 1.0, more_is_better=True), Goal("cpu_s_per_gb", 0.90)),
    "conn-h1": (Goal("rps", 2.5, more_is_better=True),),
    "mem": tuple(
        Goal(metric, limit, absolute=True)
        for metric, limit in (("rss_idle_mb", 12), ("rss_256_mb", 25), ("rss_2000_idle_mb", 50))
    ),
}
ENVOYS = ("envoy", "envoy-h2")
KEPT_UP = 0.98
"""Of the requests that a cell of fixed rate asks for, those that a peer answers at least, if it is not saturated."""
TITLES = {
    "cpu_us_per_request": "CPU µs a request",
    "rps": "requests/s",
    "p50_us": "p50 µs",
    "p99_us": "p99 µs",
    "mb_per_s": "MB/s",
    "cpu_s_per_gb": "CPU s a GB",
    "rss_idle_mb": "MB idle",
    "rss_256_mb": "MB after 256 connections",
    "rss_2000_idle_mb": "MB with 2,000 idle connections",
}


def table(results: Results) -> str:
    """Markdown: each figure that has a goal, of each peer, and whether weft meets it."""
    columns = ("cell", "figure", "weft", "Envoy", "Envoy, h2", "direct", "weft is", "goal", "")
    lines = ["| " + " | ".join(columns) + " |", "|---|---" + "|--:" * 6 + "|---|"]
    for cell, goals in GOALS.items():
        lines += [_row(cell, goal, results[cell]) for goal in goals if cell in results]
    return "\n".join(lines) + "\n"


def _row(cell: str, goal: Goal, peers: dict[str, dict[str, float]]) -> str:
    figure: Callable[[str], float | None] = lambda peer: peers.get(peer, {}).get(goal.metric)  # noqa: E731
    columns = " | ".join(_show(figure(peer)) for peer in ("weft", *ENVOYS, "direct"))
    value = ratio(goal, peers)
    title = TITLES[goal.metric] + (", p50 over direct compared" if goal.over_direct else "")
    if value is None:
        return f"| {cell} | {title} | {columns} | {NONE} | {goal} | |"
    shown = _show(value) if goal.absolute else f"{value:.2f} {TIMES}"
    return f"| {cell} | {title} | {columns} | {shown} | {goal} | {_verdict(cell, goal.met(value), peers)} |"


def _verdict(cell: str, met: bool, peers: dict[str, dict[str, float]]) -> str:
    """A latency beside that of a saturated Envoy is its queue's, so the ratio shows no more than who keeps up."""
    if not met:
        return "**missed**"
    kind, _, asked = cell.partition("-")
    if kind != "rate":
        return "met"
    answered = max(peers[peer]["rps"] for peer in ENVOYS if peer in peers)
    return "met" if answered >= KEPT_UP * int(asked) else f"met, as Envoy is saturated: {answered:,.0f} requests/s"


def ratio(goal: Goal, peers: dict[str, dict[str, float]]) -> float | None:
    """weft's figure over the better Envoy's; None when one is missing."""
    of = {peer: metrics[goal.metric] for peer, metrics in peers.items() if goal.metric in metrics}
    if goal.absolute or "weft" not in of:
        return of.get("weft")
    base = of.get("direct", 0.0) if goal.over_direct else 0.0
    envoys = [of[peer] for peer in ENVOYS if peer in of]
    if not envoys:
        return None
    return (of["weft"] - base) / ((max if goal.more_is_better else min)(envoys) - base)


def _show(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def scale(results: Results) -> str:
    """Markdown: weft's CPU a request, by how much of the mesh it knows."""
    lines = ["| | 10 | 1,000 | 10,000 |", "|---|--:|--:|--:|"]
    for what in ("services", "endpoints", "rules", "rules-woven"):
        cells = (results.get(f"{what}-{count}", {}).get("weft", {}) for count in (10, 1000, 10_000))
        lines.append(f"| {what} | " + " | ".join(_show(cell.get("cpu_us_per_request")) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def write(results: Results) -> None:
    """Puts the tables into the page, between their marks."""
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}{table(results)}{SCALE}{scale(results)}{END}{after}")


if __name__ == "__main__":
    sys.stdout.write(table(json.loads(RESULTS.read_text())))
