"""The cells: which load, on which port, and the figures that it leaves."""

import re
import time
from collections.abc import Callable

from proxybench import netns
from proxybench.load import TOOL, Backends, Figures, measure, read_h2load, read_tool, read_wrk
from proxybench.netns import HTTP1, HTTP2, OPAQUE, RULED, WOVEN
from proxybench.peers import Pair

PATH = "/bench/item/42?x=1"
SECONDS = 4
"""How long a load lasts."""
BULK_MIB = 1024
IDLE = 2000
WARMING = 20
"""Times 2 seconds, at most."""
SETTLE = 1.0
"""Seconds after which memory is read."""

Cell = Callable[[Pair, Backends], Figures]


def http1(connections: int, port: int = HTTP1) -> Cell:
    """HTTP/1.1, closed loop: each connection sends as soon as it is answered."""

    def run(pair: Pair, backends: Backends) -> Figures:
        url = f"http://{pair.address(port)}{PATH}"
        wrk = ["wrk", "--latency", "-t1", f"-c{connections}", "-H", "Host: web.shop"]
        _warm([*wrk, "-d1", url])
        figures = measure(pair, backends, [*wrk, f"-d{SECONDS}", url], read_wrk)
        return figures | ({f"rss_{connections}_mb": pair.rss()} if connections == 256 and pair.processes else {})

    return run


def http2(*, grpc: bool) -> Cell:
    """HTTP/2 in plain text, 10 connections with 32 streams each; gRPC: unary calls, 128 bytes each way."""

    def run(pair: Pair, backends: Backends) -> Figures:
        h2load = ["h2load", "-t1", "-c10", "-m32"]
        if grpc:
            message = netns.RUN / "message"
            message.write_bytes(bytes([0, 0, 0, 0, 128]) + b"x" * 128)
            h2load += ["-d", str(message), "-H", "content-type: application/grpc", "-H", "te: trailers"]
        url = f"http://{pair.address(HTTP2)}/bench.Echo/Get"
        _warm([*h2load, "-D1", url])
        return measure(pair, backends, [*h2load, f"-D{SECONDS}", url], read_h2load)

    return run


def rate(requests: int) -> Cell:
    """HTTP/1.1 at a fixed rate over 32 connections; latency counts from when the request was due."""

    def run(pair: Pair, backends: Backends) -> Figures:
        load = ["rate", "--conns", "32", "--rate", str(requests), "--secs", str(SECONDS + 1), "--warmup", "1"]
        return measure(pair, backends, [TOOL, *load, "--addr", pair.address(HTTP1)], read_tool)

    return run


def bulk(direction: str) -> Cell:
    """One connection of bytes, one way."""

    def run(pair: Pair, backends: Backends) -> Figures:
        load = [TOOL, "bulk", "--dir", direction, "--addr", pair.address(OPAQUE), "--mib"]
        _warm([*load, "64"])
        return measure(pair, backends, [*load, str(BULK_MIB)], read_tool)

    return run


def connections(pair: Pair, backends: Backends) -> Figures:
    """A new connection for each request, 16 at a time."""
    load = [TOOL, "connrate", "--addr", pair.address(HTTP1), "--conns", "16", "--secs", str(SECONDS)]
    return measure(pair, backends, load, read_tool)


def memory(pair: Pair, _backends: Backends) -> Figures:
    """Of a fresh pair: idle, and with connections that were used once and are silent."""
    time.sleep(SETTLE)
    idle = pair.rss()
    load = [TOOL, "idle", "--addr", pair.address(HTTP1), "--conns", str(IDLE)]
    process = netns.spawn(netns.CLIENT, load)
    ready, answered, _failed = netns.said(process).split()
    if (ready, int(answered)) != ("READY", IDLE):
        raise ValueError(f"{answered} of {IDLE} connections were answered")
    time.sleep(SETTLE)
    loaded = pair.rss()
    netns.stop(process)
    return {"rss_idle_mb": idle, "rss_2000_idle_mb": loaded}


def services(count: int) -> Cell:
    """HTTP/1.1 to one Service, after the application has called `count` others."""

    def run(pair: Pair, backends: Backends) -> Figures:
        for number in range(count):
            netns.wait_for(netns.CLIENT, netns.other_service(number), HTTP1, PATH)
        return http1(64)(pair, backends)

    return run


def endpoints(digits: int) -> Cell:
    """HTTP/1.1, one request at a time, to a Service of 10 ** digits endpoints, once they have their connections.

    CPU is the client's proxy's: the servers' are as many machines.
    """

    def run(pair: Pair, backends: Backends) -> Figures:
        url = f"http://{netns.SERVICE}:{netns.CROWDED + digits}{PATH}"
        for _ in range(WARMING):
            _warm(["wrk", "-t1", "-c64", "-d2", url])
            # Endpoints are drawn by lot: the last ones are long in coming.
            if _open_connections() >= 0.99 * 10**digits:
                break
        return measure(pair, backends, ["wrk", "--latency", "-t1", "-c1", f"-d{SECONDS}", url], read_wrk, "client")

    return run


def _open_connections() -> int:
    """From weft's client proxy to endpoints."""
    metrics = netns.fetch(netns.CLIENT, "127.0.0.1", 4191, "/metrics")
    opened = re.findall(r'^weft_tcp_open_connections\{direction="outbound".*\} (\d+)$', metrics, re.MULTILINE)
    return sum(map(int, opened))


def _warm(argv: list[str]) -> None:
    netns.spawn(netns.CLIENT, argv).communicate(timeout=60)


CELLS: dict[str, Cell] = {
    **{f"h1-c{n}": http1(n) for n in (16, 64, 256)},
    "h2-c10m32": http2(grpc=False),
    "grpc": http2(grpc=True),
    **{f"rate-{n}": rate(n) for n in (1000, 5000)},
    "tcp-down": bulk("down"),
    "tcp-up": bulk("up"),
    "conn-h1": connections,
    "mem": memory,
}
SCALE: dict[str, Cell] = {
    **{f"services-{n}": services(n) for n in (10, 1000, 10_000)},
    **{f"endpoints-{10**digits}": endpoints(digits) for digits in (1, 3, 4)},
    **{f"rules-{10**digits}": http1(64, RULED + digits) for digits in (1, 3, 4)},
    **{f"rules-woven-{10**digits}": http1(64, WOVEN + digits) for digits in (1, 3, 4)},
}
"""What grows with the mesh and must not cost: weft alone, a fresh pair for each, once."""
METRICS = [
    "cpu_us_per_request",
    "rps",
    "p50_us",
    "p99_us",
    "p999_us",
    "mb_per_s",
    "cpu_s_per_gb",
    "rss_idle_mb",
    "rss_256_mb",
    "rss_2000_idle_mb",
]
