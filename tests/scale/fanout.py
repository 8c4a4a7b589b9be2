"""One destination, 10,000 slices, 5,000 proxies on connections of their own: memory, latency, throughput, and what a
kill -9 or proxies that do not read cost. Prints its part of bench/results/scale.json.

    uv run python tests/scale/fanout.py [--proxies 500 --services 1000 --pods 2000]
"""

import argparse
import json
import time

from processes import Destination, Json, Load, running

HOT_ROUNDS = 5
MISSED = 100
"""Services that change while destination is away."""


def main() -> None:
    """Parses the size and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proxies", type=int, default=5000)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--each", type=int, default=10, help="services that a proxy watches, besides the hot one")
    size = parser.parse_args()
    with running(1, size.services, size.pods) as (load, [destination]):
        print(json.dumps(measured(load, destination, size), indent=1))


def measured(load: Load, destination: Destination, size: argparse.Namespace) -> Json:
    """Every figure, in the order in which the run produces them."""
    idle = destination.rss_mb()
    connected = load("connect", proxies=size.proxies, each=size.each, shared=20, seconds=120)
    result: Json = {"listed_rss_mb": round(idle), "connect_s": round(connected["seconds"], 1)}
    result["connected_rss_mb"] = round(destination.rss_mb())
    result |= latency(load, destination) | hot(load, size.proxies) | throughput(load, destination)
    result |= stalled(load, destination, size.proxies // 10) | recovered(load, destination)
    # The highest of all moments counts.
    result["rss_mb"] = max(result[name] for name in ("connected_rss_mb", "busy_rss_mb", "stalled_rss_mb"))
    result["stale_streams"] = load("compare")["stale"]
    return result


def latency(load: Load, destination: Destination) -> Json:
    """200 events a second, of 20 subscribers each."""
    cpu = destination.cpu_s()
    ran = load("change", per_second=200, seconds=20)
    return {
        "event_to_proxy_p50_ms": round(ran["p50_ms"], 2),
        "event_to_proxy_p99_ms": round(ran["p99_ms"], 2),
        "cpu_share_at_200_events": round((destination.cpu_s() - cpu) / ran["seconds"], 2),
    }


def hot(load: Load, proxies: int) -> Json:
    """One change that concerns every proxy: until the last one has it; the median of a few."""
    rounds = sorted(all_have_it_s(load, proxies) for _ in range(HOT_ROUNDS))
    return {"hot_service_5000_s": round(rounds[HOT_ROUNDS // 2], 3), "hot_service_rounds_s": rounds}


def all_have_it_s(load: Load, proxies: int) -> float:
    """Seconds until the last of the proxies has a change; one that never has it would count as quick."""
    ran = load("change", per_second=1, seconds=1, hot=True)
    if ran["messages"] != proxies:
        raise RuntimeError(f"{ran['messages']} of {proxies} proxies have the change")
    return float(ran["max_ms"]) / 1000


def throughput(load: Load, destination: Destination) -> Json:
    """Six times more changes of the hot service than can be told: how many messages a CPU second makes, and how late
    the newest state is when it coalesces."""
    cpu = destination.cpu_s()
    ran = load("change", per_second=30, seconds=10, hot=True)
    return {
        "messages_per_s_core": round(ran["messages"] / (destination.cpu_s() - cpu)),
        "overload_p99_ms": round(ran["p99_ms"], 1),
        "busy_rss_mb": round(destination.rss_mb()),
    }


def stalled(load: Load, destination: Destination, number: int) -> Json:
    """A tenth of the proxies read nothing while everything changes: what they cost, and what the others notice."""
    load("stall", number=number)
    ran = load("change", per_second=200, seconds=10)
    for _ in range(5):
        load("change", per_second=30, seconds=1, hot=True)
    result = {"stalled_others_p99_ms": round(ran["p99_ms"], 1), "stalled_rss_mb": round(destination.rss_mb())}
    load("read")
    return result


def recovered(load: Load, destination: Destination) -> Json:
    """kill -9, some changes, and a new process: until every proxy is answered again, and what they were sent besides
    those changes."""
    began = time.monotonic()
    destination.kill()
    load("served", seconds=0)
    due = load("touch", number=MISSED)["due"]
    destination.start()
    ran = load("served", seconds=60)
    seconds = time.monotonic() - began
    sent = ran["updates"] + load("settle")["updates"]
    return {
        "recover_s": round(seconds, 1),
        "recover_changed": due,
        "recover_resent": max(0, sent - due),
        "recover_missed": max(0, due - sent),
        "recovered_rss_mb": round(destination.rss_mb()),
    }


if __name__ == "__main__":
    main()
