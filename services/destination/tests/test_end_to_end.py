"""From a change in Kubernetes to what a proxy is told: the whole service against an API server on a socket."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from weft_api.discovery.v1 import discovery_pb2 as pb
from weft_destination.config import Config
from weft_destination.hub import DELTA_FROM
from weft_destination.index import Index
from weft_destination.hub import Hub
from weft_destination.metrics import Metrics
from weft_destination.server import Server
from weft_destination.watches import reflectors
from weft_kube.api import KubeApi
from weft_runtime.config import Address
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import custom, endpoint, endpoint_slice, pod, service

MESHED = {"weft.dev/proxy-version": "0.1.0", "weft.dev/workload-kind": "deployment", "weft.dev/workload": "web"}
ID = (("weft-client-id", "spiffe://cluster.local/ns/ns/sa/crowd"),)
HELLO = pb.Request(hello=pb.Hello(namespace="ns", pod="web-1", version="0.1.0"))

EMPTY = pb.Update


def outbound(ip: str, port: int) -> pb.Target:
    return pb.Target(outbound=pb.SocketAddress(ip=ipaddress.ip_address(ip).packed, port=port))


def endpoints(name: str, port: int) -> pb.Target:
    return pb.Target(endpoints=pb.ServicePort(namespace="ns", name=name, port=port))


def watch(target: pb.Target, held: str = "") -> pb.Request:
    return pb.Request(watch=pb.Watch(target=target, held_version=held))


class Proxy:
    """A proxy's end of a stream."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def ask(self, *requests: pb.Request) -> None:
        for request in requests:
            await self.call.write(request.SerializeToString())

    async def update(self) -> pb.Update:
        async with asyncio.timeout(5):
            return pb.Update.FromString(await self.call.read())

    async def answer(self, target: pb.Target, held: str = "") -> pb.Update:
        await self.ask(watch(target, held))
        return await self.update()

    async def end(self) -> tuple[grpc.StatusCode, str]:
        async with asyncio.timeout(5):
            return await self.call.code(), await self.call.details()


class Mesh:
    """A fake cluster and a destination that follows it."""

    def __init__(self, kube: FakeKube, channel: grpc.aio.Channel, server: Server, stop: asyncio.Event) -> None:
        self.kube = kube
        self.server = server
        self.stop = stop
        self._subscribe: Any = channel.stream_stream("/weft.discovery.v1.Discovery/Subscribe")

    def dial(self, metadata: tuple[tuple[str, str], ...] = ID) -> Proxy:
        return Proxy(self._subscribe(metadata=metadata))

    async def proxy(self) -> Proxy:
        proxy = self.dial()
        await proxy.ask(HELLO)
        return proxy

    def web(self, *pods: int) -> None:
        """Service `web` with these pods, each known and meshed."""
        self.kube.put(service("ns", "web", "10.96.0.1"))
        for number in pods:
            self.kube.put(pod("ns", f"web-{number}", f"10.0.0.{number}", service_account="web", labels=MESHED))
        self.kube.put(endpoint_slice("ns", "web-a", "web", [endpoint(f"10.0.0.{n}", f"web-{n}") for n in pods]))


async def synced(watches: dict[str, Any]) -> None:
    for reflector in watches.values():
        await reflector.state.synced.wait()


@asynccontextmanager
async def mesh(prepare: Any = lambda _: None) -> AsyncIterator[Mesh]:
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        prepare(kube)
        index = Index()
        hub = Hub(index)
        watches = reflectors(api, index, hub.facts_changed, "cluster.local")
        server = Server(hub, Metrics({k: r.state for k, r in watches.items()}), "cluster.local")
        running = [tasks.create_task(reflector.run()) for reflector in watches.values()]
        await synced(watches)
        stop = asyncio.Event()
        serving = tasks.create_task(server.serve(Address("127.0.0.1", 0), stop))
        await server.started.wait()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Mesh(kube, channel, server, stop)
        stop.set()
        await serving
        for task in running:
            task.cancel()


async def test_a_cluster_ip_leads_to_its_service() -> None:
    """The answer to a ClusterIP names the Service whose endpoints to watch."""
    async with mesh() as m:
        m.web(1)
        proxy = await m.proxy()
        update = await proxy.answer(outbound("10.96.0.1", 80))
        assert update.outbound.service.service.name == "web"
