"""Compares sidecar proxy pairs on this machine: every peer once in each repeat, in turn; medians of all repeats.

Without options: everything, into bench/results/proxy.json and docs/performance.md. A look at few cells:
`--cells h1-c64,h2 --peers weft,envoy-h2 --repeats 1 --out /tmp/x.json`. Cells that are measured anew, as by
`--cells mem,h1-c256`, take the place of what the file has of them.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from proxybench import identities, netns, report
from proxybench.cells import CELLS, METRICS, SCALE
from proxybench.load import Backends
from proxybench.peers import PEERS, Pair, control_plane, start

RESULTS = netns.ROOT / "bench/results/proxy.json"
Lists = dict[str, dict[str, dict[str, list[float]]]]
"""cell → peer → metric → one value for each repeat."""


def main() -> None:
    """Measures, writes the medians, prints them."""
    options = _options()
    netns.RUN.mkdir(parents=True, exist_ok=True)
    identities.make()
    netns.up()
    backends = Backends()
    plane = control_plane()
    seen: Lists = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    try:
        for repeat in range(options.repeats):
            for peer in options.peers:
                _peer(peer, repeat, options.cells, backends, seen)
    finally:
        backends.stop()
        for process in plane:
            netns.stop(process)
        netns.down()
    before: report.Results = json.loads(options.out.read_text()) if options.out.exists() else {}
    results = before | medians(seen)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    if options.out == RESULTS:
        report.write(results)
    print(report.table(results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=_among(PEERS), default=list(PEERS), help=",".join(PEERS))
    parser.add_argument(
        "--cells", type=_among((*CELLS, *SCALE)), default=[*CELLS, *SCALE], help="names, or how they begin"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def _among(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        unknown = [c for c in chosen if not any(n.startswith(c) for n in names)]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)} among {', '.join(names)}")
        exact = [n for n in names if n in chosen]
        return [n for n in names if n in exact or any(n.startswith(c) for c in chosen if c not in names)]

    return parse


def _peer(peer: str, repeat: int, cells: list[str], backends: Backends, seen: Lists) -> None:
    """Every cell on one pair; memory and scale on fresh ones."""
    shared = [c for c in cells if c in CELLS and c != "mem"]
    alone = ["mem"] if "mem" in cells and peer != "direct" else []
    alone += [c for c in cells if c in SCALE] if peer == "weft" and repeat == 0 else []
    for names in filter(None, (shared, *([name] for name in alone))):
        try:
            with closing(start(peer)) as pair:
                for name in names:
                    _cell(pair, repeat, name, backends, seen)
        except (ValueError, OSError, subprocess.TimeoutExpired) as error:
            # Minutes of other figures are not lost for this one; the table shows what is missing.
            print(f"{repeat} {peer} ends early: {error}", file=sys.stderr, flush=True)


def _cell(pair: Pair, repeat: int, name: str, backends: Backends, seen: Lists) -> None:
    figures = (CELLS | SCALE)[name](pair, backends)
    kept = {metric: figures[metric] for metric in METRICS if metric in figures}
    for metric, value in kept.items():
        if pair.processes or not metric.startswith("cpu"):
            # Memory is one cell, whenever it is read.
            cell = "mem" if metric.startswith("rss") else name
            seen[cell][pair.name][metric].append(value)
    shown = "  ".join(f"{metric} {value:.4g}" for metric, value in kept.items())
    print(f"{repeat} {pair.name:9} {name:10} {shown}  other {figures.get('other', 0):.0%}", file=sys.stderr, flush=True)


def medians(seen: Lists) -> report.Results:
    """Of every metric over its repeats."""
    return {
        cell: {
            peer: {metric: round(statistics.median(values), 3) for metric, values in metrics.items()}
            for peer, metrics in by_peer.items()
        }
        for cell, by_peer in seen.items()
    }


if __name__ == "__main__":
    main()
