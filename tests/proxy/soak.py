"""Mixed traffic through two sidecars for as long as is asked: no error, no growth of memory or descriptors.

    soak.py 30m [RATE]

Writes bench/results/soak.json; exit status 1 when a rule is broken.
"""

import json
import re
import resource
import statistics
import subprocess
import sys
import time
from itertools import combinations

from mesh import GRPC, MESHED, ROOT, TOOLS, Mesh, listens

RESULTS = ROOT / "bench/results/soak.json"
RATE = 500
"""Calls a second, all kinds together."""
EVERY = 10.0
"""Seconds between two looks at the proxies."""
WARM_UP = 1 / 3
"""This share of the time at the beginning does not count: pools fill, pages are touched."""
MAX_GROWTH = 1.0
"""MB an hour."""
UNITS = {"s": 1, "m": 60, "h": 3600}

Sample = tuple[float, int, int]
"""Seconds since the start, resident bytes, descriptors."""


def slope(samples: list[Sample]) -> float:
    """Growth of memory in MB an hour: the median over all pairs, so that single jumps weigh little (Theil-Sen)."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(samples, 2)]
    return statistics.median(slopes) * 3600 / 1e6


def watch(mesh: Mesh, load: subprocess.Popen[str]) -> dict[str, list[Sample]]:
    """Samples of both proxies until the load ends."""
    pods = {"outbound": mesh.client, "inbound": mesh.server}
    samples: dict[str, list[Sample]] = {name: [] for name in pods}
    began = time.monotonic()
    while load.poll() is None:
        for name, pod in pods.items():
            samples[name].append((time.monotonic() - began, pod.memory(), pod.descriptors()))
        time.sleep(EVERY)
    return samples


def figures(samples: list[Sample]) -> dict[str, float]:
    """What became of one proxy after the warm-up."""
    warm = samples[int(len(samples) * WARM_UP) :]
    half = len(warm) // 2
    descriptors = [sample[2] for sample in warm]
    return {
        "memory_slope_mb_per_hour": round(slope(warm), 3),
        "memory_mb_first": round(warm[0][1] / 1e6, 2),
        "memory_mb_last": round(warm[-1][1] / 1e6, 2),
        "descriptors_first_half": statistics.median(descriptors[:half]),
        "descriptors_second_half": statistics.median(descriptors[half:]),
    }


def faults(report: dict[str, dict[str, float]], calls: dict[str, dict[str, object]]) -> list[str]:
    """The rules that were broken."""
    broken = [f"{kind}: {of['errors']} errors: {of.get('causes')}" for kind, of in calls.items() if of["errors"]]
    for name, of in report.items():
        if of["memory_slope_mb_per_hour"] >= MAX_GROWTH:
            broken.append(f"{name}: memory grows by {of['memory_slope_mb_per_hour']} MB an hour")
        if of["descriptors_second_half"] > 1.1 * of["descriptors_first_half"] + 5:
            broken.append(f"{name}: descriptors grow")
    return broken


def main(duration: str, rate: int = RATE) -> int:
    """Runs it."""
    match = re.fullmatch(r"(\d+)([smh])", duration)
    if match is None:
        print(f"{duration!r} is no duration such as 30m", file=sys.stderr)
        return 2
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Mesh() as mesh:
        mesh.run(mesh.server.namespace, [str(TOOLS / "server"), f"--port={GRPC}"])
        listens(mesh.server.namespace, GRPC)
        argv = [str(TOOLS / "load"), f"-host={MESHED}", f"-rate={rate}", f"-duration={duration}"]
        with subprocess.Popen(mesh.client.namespace.argv(argv), stdout=subprocess.PIPE, text=True) as load:
            samples = watch(mesh, load)
            calls = json.loads(load.stdout.read() if load.stdout else "{}")
    report = {name: figures(of) for name, of in samples.items()}
    seconds = int(match[1]) * UNITS[match[2]]
    result = {"seconds": seconds, "rate": rate, "proxies": report, "calls": calls, "faults": faults(report, calls)}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return bool(result["faults"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
