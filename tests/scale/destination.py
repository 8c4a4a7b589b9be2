"""How much destination costs: memory, and the time from a change in Kubernetes until proxies have it.

    uv run python tests/scale/destination.py --slices 5000 --streams 500

Kubernetes is FakeKube, proxies are grpc.aio streams, both in processes of their own. Prints one JSON object.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Any

import grpc
from weft_api.discovery.v1 import discovery_pb2 as pb
from weft_destination.app import serve_cluster
from weft_destination.config import Config
from weft_kube.api import Cluster
from weft_runtime import logs
from weft_runtime.config import load
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import endpoint, endpoint_slice, pod, service

LISTEN, ADMIN = 28087, 29990
ENDPOINTS = 4
TARGETS = 20
MESHED = {"weft.dev/proxy-version": "0.1.0", "weft.dev/workload-kind": "deployment", "weft.dev/workload": "web"}


def address(number: int) -> str:
    """A pod's IP."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def slice_of(number: int, zone: str = "z1") -> dict[str, Any]:
    """The slice of Service s<number>; its zone changes with every event."""
    pods = range(number * ENDPOINTS, (number + 1) * ENDPOINTS)
    return endpoint_slice(
        "ns", f"s{number}-a", f"s{number}", [endpoint(address(n), f"p{n}", "ns", zone=zone) for n in pods]
    )


async def kubernetes(pipe: Connection, slices: int) -> None:
    """A fake cluster; then, on request, `events` changes at `rate` a second, each zone telling when it was made."""
    async with FakeKube() as kube:
        for number in range(slices):
            kube.put(service("ns", f"s{number}", f"10.200.{number >> 8}.{number & 255}"))
            kube.put(slice_of(number))
        for number in range(slices * ENDPOINTS):
            kube.put(pod("ns", f"p{number}", address(number), service_account="web", labels=MESHED))
        pipe.send(kube.cluster.url)
        while order := await asyncio.to_thread(pipe.recv):
            numbers, rate = order
            for number in numbers:
                kube.put(slice_of(number, f"{time.time():.6f}"))
                await asyncio.sleep(1 / rate)
            pipe.send("done")


async def destination(pipe: Connection, url: str) -> None:
    """The service itself."""
    logs.setup("destination", logs.level("error"))
    settings = {
        "WEFT_LISTEN": f"127.0.0.1:{LISTEN}",
        "WEFT_ADMIN_LISTEN": f"127.0.0.1:{ADMIN}",
        "KUBERNETES_SERVICE_HOST": "unused",
        "WEFT_ALLOW_ANONYMOUS": "true",
    }
    pipe.send(os.getpid())
    await serve_cluster(Cluster(url), load(Config, settings), asyncio.Event())


class Streams:
    """Proxies, and how late each update came."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self.first = 0
        self.got = asyncio.Event()

    async def run(self, number: int, services: list[int]) -> None:
        """One proxy on a connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{LISTEN}", options=options) as channel:
            call: Any = channel.stream_stream("/weft.discovery.v1.Discovery/Subscribe")(wait_for_ready=True)
            hello = pb.Request(hello=pb.Hello(namespace="ns", pod=f"proxy-{number}"))
            await call.write(hello.SerializeToString())
            for name in services:
                target = pb.Target(endpoints=pb.ServicePort(namespace="ns", name=f"s{name}", port=80))
                await call.write(pb.Request(watch=pb.Watch(target=target)).SerializeToString())
            while isinstance(data := await call.read(), bytes):
                self._take(data)

    def _take(self, data: bytes) -> None:
        now = time.time()
        zone = pb.Update.FromString(data).endpoints.endpoints[0].zone
        if zone == "z1":
            self.first += 1
        else:
            self.late_ms.append((now - float(zone)) * 1000)


def started(target: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> Connection:
    """A coroutine function in a process of its own, with a pipe to it."""
    here, there = multiprocessing.Pipe()
    multiprocessing.Process(target=_run, args=(target, there, *arguments), daemon=True).start()
    return here


def _run(target: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    asyncio.run(target(*arguments))


def rss_mb(pid: int) -> float:
    """Resident memory."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def cpu_s(pid: int) -> float:
    """User and system time."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of one run."""
    kube = started(kubernetes, arguments.slices)
    service = started(destination, await asyncio.to_thread(kube.recv))
    pid = service.recv()
    streams = Streams()
    # Few services are hot, so that each event concerns `--subscribers` streams.
    hot = arguments.streams * TARGETS // arguments.subscribers
    watched = [[(number * TARGETS + n) % hot for n in range(TARGETS)] for number in range(arguments.streams)]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(streams.run(number, names)) for number, names in enumerate(watched)]
        began = time.monotonic()
        while streams.first < arguments.streams * TARGETS:  # noqa: ASYNC110 (a count, polled)
            await asyncio.sleep(0.05)
        result: dict[str, Any] = {"all_served_s": round(time.monotonic() - began, 2), "rss_mb": round(rss_mb(pid))}
        before = cpu_s(pid)
        kube.send(([random.randrange(hot) for _ in range(arguments.events)], arguments.rate))  # noqa: S311
        await asyncio.to_thread(kube.recv)
        await asyncio.sleep(1)
        late = sorted(streams.late_ms)
        result |= {
            "messages": len(late),
            "cpu_us_per_message": round((cpu_s(pid) - before) / len(late) * 1e6),
            "event_to_proxy_p50_ms": round(statistics.median(late), 1),
            "event_to_proxy_p99_ms": round(late[int(len(late) * 0.99)], 1),
            "rss_after_mb": round(rss_mb(pid)),
        }
        kube.send(None)
        for task in running:
            task.cancel()
    return result


def main() -> None:
    """Parses the size and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=5000)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--subscribers", type=int, default=20)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=100)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
