"""Writes the Grafana dashboards into the chart: `python charts/grafana/generate.py [--check]`."""

import sys
from pathlib import Path

import boards
import inside
import objects
from grafana_foundation_sdk.cog.encoder import JSONEncoder

FOLDER = Path(__file__).parent.parent / "mesh" / "charts" / "viz" / "files" / "dashboards"


BOARDS = {
    "overview": boards.overview,
    "namespace": objects.namespace,
    "workload": boards.workload,
    "pod": objects.pod,
    "service": objects.service,
    "edges": objects.edges,
    "identity": inside.identity,
    "proxy": inside.proxy,
    "control-plane": boards.control_plane,
}


def rendered() -> dict[Path, str]:
    """Each file and what belongs into it."""
    encoder = JSONEncoder(indent=1, sort_keys=True)
    return {FOLDER / f"{name}.json": encoder.encode(make().build()) + "\n" for name, make in BOARDS.items()}


def main(arguments: list[str]) -> int:
    """Writes, or with --check names the files that differ and returns 1."""
    differing = [(path, text) for path, text in rendered().items() if not path.exists() or path.read_text() != text]
    stale = [path for path in FOLDER.glob("*.json") if path not in rendered()]
    if "--check" in arguments:
        for path in [*(path for path, _ in differing), *stale]:
            print(f"{path.name} differs: run python charts/grafana/generate.py", file=sys.stderr)
        return 1 if differing or stale else 0
    for path, text in differing:
        path.write_text(text)
    for path in stale:
        path.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
