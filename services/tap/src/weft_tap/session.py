"""One tap: a stream from each of the subject's proxies, joined, paced and followed as pods come and go."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from google.protobuf.message import DecodeError, Message
from grpc import aio
from weft_api.tap.v1 import tap_pb2
from weft_runtime.config import Address

from weft_tap.lines import event_line, status_line
from weft_tap.match import Filter
from weft_tap.pace import Pace
from weft_tap.pods import Pods
from weft_tap.subject import Subject, Target

QUEUE = 1000
"""Lines that wait for a slow client; beyond, proxies are not read any more and leave events out themselves."""

SETTLE_SECONDS = 0.2
"""Between two looks at the pods: a rollout changes many at once."""

RETRY_SECONDS = 1.0

MAX_EVENT = 2**18
"""Longest event taken, in bytes: two heads of 64 KiB and some words. Larger ones, a thousand in the queue, would fill
the memory."""

OBSERVE = "/weft.tap.v1.Tap/Observe"

Connect = Callable[[Target], aio.Channel]
Sleep = Callable[[float], Awaitable[object]]


def connector(proxy: Address) -> Connect:
    """Channels to proxies through our own proxy's CONNECT listener, which does TLS and verifies identities."""
    options = [
        ("grpc.http_proxy", f"http://{proxy}"),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.max_receive_message_length", MAX_EVENT),
    ]
    return lambda target: aio.insecure_channel(target.authority, options=options)


class Session:
    """While `run` goes on, `lines` gives what it collects. Who ends `run` ends every stream."""

    def __init__(
        self, subject: Subject, wanted: Filter, pods: Pods, connect: Connect, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._subject = subject
        self._wanted = wanted
        self._pods = pods
        self._connect = connect
        self._sleep = sleep
        self._pace = Pace(wanted.max_rps, asyncio.get_running_loop().time)
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        self._streams: dict[Target, asyncio.Task[None]] = {}
        self._replayed: set[Target] = set()
        self._failing: dict[str, str] = {}
        self._status = b""
        self.sent = 0
        self._complete = False

    async def run(self) -> None:
        """Opens and closes streams as the subject's pods come and go, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                changed = self._pods.changed
                await self._adjust(tasks)
                await changed.wait()
                await self._sleep(SETTLE_SECONDS)

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines as they come, several at once when they came together; ends when the limit is reached."""
        while not (self._complete and self._queue.empty()):
            batch = [await self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            yield b"".join(batch)

    async def _adjust(self, tasks: asyncio.TaskGroup) -> None:
        found = self._pods.of(self._subject)
        for target in self._streams.keys() - found.targets:
            self._streams.pop(target).cancel()
            self._failing.pop(target.pod, None)
        for target in found.targets - self._streams.keys():
            self._streams[target] = tasks.create_task(self._listen(target))
        await self._tell()

    async def _tell(self) -> None:
        """The state of the tap, whenever it differs from what was last told."""
        status = status_line(len(self._streams), self._pods.of(self._subject).unmeshed, self._failing)
        if status != self._status:
            self._status = status
            await self._queue.put(status)

    async def _listen(self, target: Target) -> None:
        """Holds a stream open to one proxy; one that breaks is opened again."""
        while True:
            try:
                await self._observe(target)
            except aio.AioRpcError as error:
                await self._failed(target, f"{error.code().name}: {error.details()}")
            except DecodeError as error:
                await self._failed(target, f"what it sends is no event: {error}")
            await self._sleep(RETRY_SECONDS)

    async def _failed(self, target: Target, reason: str) -> None:
        self._failing[target.pod] = reason
        await self._tell()

    async def _observe(self, target: Target) -> None:
        request = tap_pb2.ObserveRequest(
            match=self._wanted.match,
            limit=self._wanted.limit,
            max_per_second=self._wanted.max_rps,
            replay=0 if target in self._replayed else self._wanted.replay,
        )
        async with self._connect(target) as channel:
            # The stub would give None for what cannot be decoded.
            serialize = tap_pb2.ObserveRequest.SerializeToString
            observe: aio.UnaryStreamMultiCallable[Message, bytes] = channel.unary_stream(OBSERVE, serialize)
            call = observe(request)
            await call.wait_for_connection()
            self._replayed.add(target)
            if self._failing.pop(target.pod, None):
                await self._tell()
            async for data in call:
                await self._take(tap_pb2.Event.FromString(data), target)

    async def _take(self, event: tap_pb2.Event, target: Target) -> None:
        if self._wanted.limit and self.sent >= self._wanted.limit:
            return
        left_out = self._pace.allow(event.skipped)
        if left_out is None:
            return
        self.sent += 1
        last = self.sent == self._wanted.limit
        await self._queue.put(event_line(event, target, left_out))
        self._complete = last or self._complete
