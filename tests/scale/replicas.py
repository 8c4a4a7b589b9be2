"""Three destinations share the proxies; one is killed: its streams move to the others, and nobody holds anything stale.
Prints its part of bench/results/scale.json.

    uv run python tests/scale/replicas.py [--proxies 300]
"""

import argparse
import json
import time

from processes import Destination, Json, Load, running


def main() -> None:
    """Parses the size and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proxies", type=int, default=3000)
    proxies = parser.parse_args().proxies
    with running(3, services=2000, pods=4000) as (load, destinations):
        print(json.dumps(measured(load, destinations, proxies), indent=1))


def measured(load: Load, destinations: list[Destination], proxies: int) -> Json:
    """How the streams are shared before and after one replica is gone, and how soon all are served."""
    shares = load("connect", proxies=proxies, each=5, shared=20, seconds=90)["by_address"]
    lost, *left = destinations
    began = time.monotonic()
    lost.kill()
    load("to", to=[each.address for each in left])
    moved = load("served", seconds=60)
    seconds = time.monotonic() - began
    moving = load("change", per_second=100, seconds=3)
    ran = load("change", per_second=100, seconds=3)
    compared = load("compare")
    return {
        "shares": sorted(shares.values()),
        "shares_after": sorted(moved["by_address"].values()),
        "moved_s": round(seconds, 1),
        "resent": moved["updates"],
        "moving_p99_ms": round(moving["p99_ms"], 1),
        "event_to_proxy_p99_ms": round(ran["p99_ms"], 1),
        "stale_streams": compared["stale"],
    }


if __name__ == "__main__":
    main()
