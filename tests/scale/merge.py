"""Merges a cell's JSON, from stdin, into bench/results/scale.json: merge.py CELL. Fails when a proxy ended with
anything but the truth: that no figure makes good."""

import json
import sys
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
    if stale := part.get("stale_streams"):
        sys.exit(f"{cell}: {stale} streams do not hold what Kubernetes says")
