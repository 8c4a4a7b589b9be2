"""A stream holds the newest state of what it watches, and no queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from weft_api.discovery.v1 import discovery_pb2 as pb
from weft_destination import encode, model
from weft_destination.hub import Hub
from weft_destination.index import Index
from weft_destination.metrics import Metrics
from weft_destination.model import Protocol
from weft_destination.shares import Share
from weft_destination.stream import Outcome, Stream
from weft_testkit.wait import until

KEY = ("ns", "web")
WEB = model.EndpointsTarget(*KEY, 80)
END = Outcome(grpc.StatusCode.OK)


class Reader:
    """A proxy that reads a message when it is let."""

    def __init__(self) -> None:
        self.read: list[pb.Update] = []
        self.may = asyncio.Semaphore(0)
        self.waiting = 0

    async def write(self, data: bytes) -> None:
        """What the stream writes to: returns when the message was read."""
        self.waiting += 1
        await self.may.acquire()
        self.waiting -= 1
        self.read.append(pb.Update.FromString(data))

    def zones(self) -> list[str]:
        """The zone of each update's endpoint."""
        return [update.endpoints.endpoints[0].zone for update in self.read]


def change(index: Index, hub: Hub, number: int) -> None:
    """The one endpoint of web moves to another zone."""
    endpoint = model.SliceEndpoint(bytes([10, 0, 0, 1]), "", f"z{number}")
    index.slices.apply(model.Slice(("ns", "web-a"), KEY, (model.SlicePort("http", 8080, None),), (endpoint,)))
    hub.facts_changed()


def told(hub: Hub) -> bool:
    """The watchers of web know that there is what the index says now."""
    topic = hub.find(WEB)
    return topic is not None and topic.version == encode.snapshot(WEB, hub.answer(WEB))[0]


async def told_to_the_end(stream: Stream, reader: Reader) -> None:
    """What the server does while the stream lives."""
    while stream.outcome is None:
        await stream.news()
        await stream.write(reader.write)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Index, Hub, Stream, Reader]]:
    """A stream that watches web, and a proxy that has not read of it yet."""
    index = Index()
    index.services.apply(model.Service(KEY, (), (model.ServicePort(80, "http", Protocol.DETECT),)))
    hub = Hub(index)
    change(index, hub, 0)
    stream, reader = Stream(encode.Hello("ns", "p", ""), hub, Metrics({}), Share()), Reader()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(told_to_the_end(stream, reader))
        stream.take(encode.Watch(WEB, ""))
        await until(lambda: reader.waiting == 1)
        yield index, hub, stream, reader
        stream.end(END)
        for _ in range(10):
            reader.may.release()


async def test_a_stalled_reader_costs_one_snapshot() -> None:
    """However much changes while it does not read, it then gets the newest state and nothing else."""
    async with serving() as (index, hub, stream, reader):
        for number in range(1, 11):
            change(index, hub, number)
            await until(lambda: told(hub))
        assert stream.waiting == 1
        reader.may.release()
        reader.may.release()
        await until(lambda: len(reader.read) == 2)
    assert reader.zones() == ["z0", "z10"]
    assert stream.waiting == 0


async def test_what_a_proxy_does_not_take_it_does_not_hold() -> None:
    """A version counts as held when it is written, not before: who does not read is seen to be behind."""
    async with serving() as (_, hub, stream, reader):
        assert (stream.held(WEB), stream.waiting) == ("", 1)
        reader.may.release()
        await until(lambda: stream.waiting == 0)
        assert stream.held(WEB) == encode.snapshot(WEB, hub.answer(WEB))[0]


async def test_what_is_asked_for_again_is_told_again() -> None:
    """What was on its way when a proxy forgot a target, and asked anew, is not taken for the answer."""
    async with serving() as (_, hub, stream, reader):
        Stream(encode.Hello("ns", "q", ""), hub, Metrics({}), Share()).take(encode.Watch(WEB, ""))
        stream.take(encode.Unwatch(WEB))
        stream.take(encode.Watch(WEB, ""))
        reader.may.release()
        reader.may.release()
        await until(lambda: len(reader.read) == 2)
    assert reader.zones() == ["z0", "z0"]
