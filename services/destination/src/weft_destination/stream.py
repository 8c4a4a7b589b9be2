"""One proxy's stream: what it watches, which versions it has, and what it must still be told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc

from weft_destination import encode
from weft_destination.hub import Hub, Topic
from weft_destination.metrics import Metrics
from weft_destination.model import Target
from weft_destination.shares import TARGETS_EACH, Share

MAX_TOPICS = 200_000
"""Different targets that one replica tells, of all proxies: 1.3 KB each, and what is said of it."""

MAX_REQUEST = 8 * 1024
"""Longest request taken, in bytes: ten times what names of the greatest length make."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a stream ended."""

    code: grpc.StatusCode
    message: str = ""


class RefusedError(Exception):
    """What the proxy sent cannot be served."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.outcome = Outcome(code, message)


class Stream:
    """Reads requests and writes updates until it is ended. Holds versions, never messages."""

    __slots__ = (
        "_beats",
        "_hub",
        "_metrics",
        "_pending",
        "_share",
        "_topics",
        "_waiter",
        "_woken",
        "_writing",
        "began",
        "hello",
        "outcome",
    )

    def __init__(self, hello: encode.Hello, hub: Hub, metrics: Metrics, share: Share) -> None:
        self.hello = hello
        self.began = time.monotonic()
        self._hub = hub
        self._metrics = metrics
        self._share = share
        # Each topic knows the version that is held of it. A list takes a quarter of what a dict does.
        self._topics: list[Topic] = []
        self._pending: dict[Topic, None] = {}
        self._writing: Topic | None = None
        # No asyncio.Event: its queue takes 760 bytes, and only one ever waits.
        self._woken = False
        self._waiter: asyncio.Future[None] | None = None
        self.outcome: Outcome | None = None
        """Once it has ended, or is to."""
        self._beats = False
        self.beat()

    @property
    def targets(self) -> int:
        """How many targets it watches."""
        return len(self._topics)

    @property
    def waiting(self) -> int:
        """How many of them have news that is not written yet."""
        return len(self._pending) + (self._writing is not None and self._writing not in self._pending)

    def held(self, target: Target) -> str | None:
        """The version written last; None when the target is not watched."""
        topic = self._hub.find(target)
        return None if topic is None else topic.watchers.get(self)

    def wake(self, topic: Topic) -> None:
        """A topic changed."""
        if self in topic.watchers:
            self._pending[topic] = None
            self._wake_up()

    def beat(self) -> None:
        """A heartbeat is due."""
        if self.hello.heartbeats:
            self._beats = True
            self._wake_up()

    def _wake_up(self) -> None:
        self._woken = True
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self, outcome: Outcome) -> None:
        """Ends the stream as soon as the message being written is out; the first outcome counts."""
        self.outcome = self.outcome or outcome
        self._wake_up()

    def close(self) -> None:
        """Leaves every topic."""
        self._share.targets -= len(self._topics)
        for topic in self._topics:
            self._hub.leave(topic, self)
        self._topics.clear()

    async def read(self, read: Callable[[], Awaitable[bytes | object]]) -> None:
        """Takes requests until the proxy has no more, or sends one that cannot be. Then the stream ends."""
        try:
            while isinstance(data := await read(), bytes):
                if len(data) > MAX_REQUEST:
                    message = f"a request of {len(data)} bytes: {MAX_REQUEST} is the most"
                    return self.end(Outcome(grpc.StatusCode.RESOURCE_EXHAUSTED, message))
                self.take(encode.decode(data, self.hello))
            return self.end(Outcome(grpc.StatusCode.OK))
        except encode.MalformedError as error:
            return self.end(Outcome(grpc.StatusCode.INVALID_ARGUMENT, str(error)))
        except RefusedError as error:
            return self.end(error.outcome)
        finally:
            # The first outcome counts: this one, when reading itself fails.
            self.end(Outcome(grpc.StatusCode.INTERNAL, "requests can no longer be read"))

    def take(self, request: encode.Request) -> None:
        """Begins or ends to watch."""
        match request:
            case encode.Watch(target=target, held_version=held):
                self._watch(target, held)
            case encode.Unwatch(target=target):
                self._unwatch(target)

    def _watch(self, target: Target, held_version: str) -> None:
        topic = self._hub.find(target)
        if topic is None or self not in topic.watchers:
            self._take_room(topic)
            topic = self._hub.join(target, self)
            self._topics.append(topic)
        self._disown(topic)
        # The common case is the newest version, of which one string is enough for all.
        topic.watchers[self] = topic.version if held_version == topic.version else held_version
        self.wake(topic)

    def _take_room(self, known: Topic | None) -> None:
        """For a target more; `known`: others watch it too."""
        if self._share.targets >= TARGETS_EACH:
            message = f"{TARGETS_EACH} targets are watched from this identity and address: no more are"
            raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
        if known is None and len(self._hub) >= MAX_TOPICS:
            raise RefusedError(grpc.StatusCode.UNAVAILABLE, f"this replica tells {MAX_TOPICS} targets: connect again")
        self._share.targets += 1

    def _unwatch(self, target: Target) -> None:
        topic = self._hub.find(target)
        if topic and self in topic.watchers:
            self._topics.remove(topic)
            self._share.targets -= 1
            self._disown(topic)
            self._hub.leave(topic, self)
            self._pending.pop(topic, None)

    def _disown(self, topic: Topic) -> None:
        """What is being written of it may come before the proxy asked: it does not count as held."""
        if self._writing is topic:
            self._writing = None

    def news(self) -> asyncio.Future[None]:
        """Comes true when there is something to write, or the stream is to end."""
        self._waiter = asyncio.get_running_loop().create_future()
        if self._woken:
            self._waiter.set_result(None)
        return self._waiter

    async def write(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Tells what is pending, each topic as it is when its turn comes."""
        self._woken, self._waiter = False, None
        if self._beats:
            self._beats = False
            await write(encode.HEARTBEAT)
        while self._pending and not self.outcome:
            self._writing = topic = next(iter(self._pending))
            del self._pending[topic]
            version = topic.version
            if update := self._update(topic):
                await write(update)
            if self._writing is topic:
                topic.watchers[self] = version
                self._writing = None
        self._pending = {}  # an emptied dict keeps the room that it had

    def _update(self, topic: Topic) -> bytes:
        """Brings the proxy to the topic's version; empty when it has that already."""
        held = topic.watchers[self]
        if held == topic.version:
            return b""
        update = topic.since(held)
        sent = self._metrics.sent
        sent.updates += 1
        sent.bytes += len(update)
        return update
