"""A load on a pair of proxies, what it cost them, and what the load generator said of it."""

import json
import os
import re
import resource
import time
from collections.abc import Callable, Sequence

from proxybench import netns
from proxybench.peers import Pair

TOOL = str(netns.ROOT / "bench/proxy/tool/target/release/pbtool")
MAX_OTHER = 0.06
"""Share of the machine that other processes may take while a cell is measured; above, it is measured again."""
TRIES = 3
TIMEOUT = 180

Figures = dict[str, float]
Reader = Callable[[str], Figures]


class Backends:
    """The applications behind the inbound proxy: HTTP/1.1 and bytes, HTTP/2 and gRPC."""

    def __init__(self) -> None:
        ports = {port: f"0.0.0.0:{port},0.0.0.0:{direct}" for port, direct in netns.DIRECT.items()}
        ruled = (first + digits for first in (netns.RULED, netns.WOVEN) for digits in netns.DIGITS)
        ports[netns.HTTP1] += "".join(f",0.0.0.0:{port}" for port in ruled)
        self.processes = [
            netns.spawn(netns.SERVER, [TOOL, "backend", "--h1", ports[netns.HTTP1], "--tcp", ports[netns.OPAQUE]]),
            netns.spawn(netns.SERVER, [TOOL, "backend-h2", "--listen", ports[netns.HTTP2]]),
        ]
        for process in self.processes:
            netns.said(process)

    def stop(self) -> None:
        """Ends them."""
        for process in self.processes:
            netns.stop(process)


def measure(pair: Pair, backends: Backends, argv: Sequence[str], read: Reader, *sides: str) -> Figures:
    """The run of a load that other processes disturbed least, of TRIES at most. CPU is both proxies', or these."""
    runs: list[Figures] = []
    while len(runs) < TRIES and not any(run["other"] <= MAX_OTHER for run in runs):
        runs.append(_once(pair, backends, argv, read, sides))
    return min(runs, key=lambda run: run["other"])


def _once(pair: Pair, backends: Backends, argv: Sequence[str], read: Reader, sides: Sequence[str]) -> Figures:
    busy, began = netns.machine_busy_seconds(), time.monotonic()
    proxies, counted, others = pair.cpu(), pair.cpu(*sides), _cpu(backends)
    load = netns.spawn(netns.CLIENT, argv)
    figures = read(load.communicate(timeout=TIMEOUT)[0])
    elapsed, cpu = time.monotonic() - began, pair.cpu(*sides) - counted
    foreign = netns.machine_busy_seconds() - busy - (pair.cpu() - proxies) - (_cpu(backends) - others)
    figures["other"] = max(0.0, foreign) / (elapsed * (os.cpu_count() or 1))
    if "total" in figures:
        figures["cpu_us_per_request"] = cpu / figures["total"] * 1e6
    if "bytes" in figures:
        figures["cpu_s_per_gb"] = cpu / (figures["bytes"] / 1e9)
    return figures


def _cpu(backends: Backends) -> float:
    """Of what belongs to the bench but is no proxy: backends, and load generators that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime + sum(netns.cpu_seconds(p.pid) for p in backends.processes)


def read_tool(output: str) -> Figures:
    """The line of JSON that our own load generator prints last."""
    said: Figures = json.loads(output.splitlines()[-1])
    _refuse(said["errors"] + said.get("bad_status", 0), output)
    return said


def read_wrk(output: str) -> Figures:
    """wrk's summary."""
    _refuse("Socket errors" in output or "Non-2xx" in output, output)
    figures = {
        "total": float(_find(r"(\d+) requests in", output)),
        "rps": float(_find(r"Requests/sec:\s+(\S+)", output)),
    }
    for percent in (50, 99):
        figures[f"p{percent}_us"] = _micros(_find(rf"\s{percent}%\s+(\S+)", output))
    return figures


def read_h2load(output: str) -> Figures:
    """h2load's summary."""
    done, failed = _find(r"(\d+) done", output), _find(r"(\d+) failed", output)
    good = _find(r"status codes: (\d+) 2xx", output)
    _refuse(int(failed) or int(done) - int(good) > MAX_CUT_OFF, output)
    return {"total": float(done), "rps": float(_find(r"finished in \S+ (\S+) req/s", output))}


MAX_CUT_OFF = 1000
"""Requests under way when h2load's time is up: it counts them in part."""


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if not found:
        raise ValueError(f"no {pattern!r} in: {text}")
    return found[1]


def _refuse(errors: float, output: str) -> None:
    if errors:
        raise ValueError(f"errors under load: {output}")


def _micros(text: str) -> float:
    number, unit = float(_find(r"([\d.]+)", text)), text.lstrip("0123456789.")
    return number * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
