"""Topics: one for each target that anybody watches, with its newest answer encoded once for all who watch.

Level-triggered: a topic tells its watchers *that* it changed; each takes the newest bytes when it can write, so a slow
watcher skips what is outdated and nothing queues up.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from weft_destination import encode
from weft_destination.diff import diff
from weft_destination.faults import Faults
from weft_destination.index import Index
from weft_destination.model import Answer, Dependency, Endpoints, Key, OutboundTarget, Target, ToService, dependencies

DELTA_FROM = 100
"""Endpoint sets larger than this are told as deltas where the watcher holds a version still remembered."""

REMEMBERED = 8
"""Versions back to which a topic can tell a delta."""

SETTLE_SECONDS = 0.02
"""A topic told a moment ago waits this long, so that a burst of changes is told once."""

SETTLE_FACTOR = 10
"""And so many times as long as telling it took: a huge set that changes all the time leaves time for others."""

AT_ONCE = 200
"""Watchers woken before other work has its turn."""


class Watcher(Protocol):
    """Who is told that a topic changed."""

    def wake(self, topic: "Topic") -> None:
        """The topic has a new version. Must not wait."""


class _Past:
    """Older answers of a large set of endpoints by version, oldest first, and what leads from each to the newest."""

    __slots__ = ("answers", "deltas")

    def __init__(self) -> None:
        self.answers: OrderedDict[str, Endpoints] = OrderedDict()
        self.deltas: dict[str, bytes] = {}

    def add(self, version: str, answer: Endpoints) -> None:
        """What was the newest one until now."""
        self.answers[version] = answer
        self.answers.move_to_end(version)
        if len(self.answers) > REMEMBERED:
            self.answers.popitem(last=False)


class Topic:
    """A watched target: its newest answer, the version and bytes of it, and a few older answers for deltas."""

    __slots__ = ("_answer", "_full", "_past", "settled", "target", "version", "watchers")

    def __init__(self, target: Target, answer: Answer) -> None:
        self.target = target
        self.watchers: dict[Watcher, str] = {}
        """The version that each has been told."""
        self.settled = 0.0
        """Loop time from which on it may be told again."""
        self._past: _Past | None = None
        self._answer = answer
        self.version, self._full = encode.snapshot(target, answer)

    def update(self, answer: Answer, twin: "Topic | None" = None) -> bool:
        """Takes a new answer; False when it says the same. `twin` may have encoded the same answer already."""
        if answer == self._answer:
            return False
        before, version = self._answer, self.version
        self._answer = answer
        if twin and _same_place(twin.target, self.target) and twin._answer == answer:
            self.version, self._full = twin.version, twin._full
        else:
            self.version, self._full = encode.snapshot(self.target, answer)
        self._remember(version, before)
        return True

    def _remember(self, version: str, answer: Answer) -> None:
        if self._past:
            self._past.deltas.clear()
        if isinstance(answer, Endpoints) and len(answer.endpoints) > DELTA_FROM:
            self._past = self._past or _Past()
            self._past.add(version, answer)

    def since(self, version: str) -> bytes:
        """The bytes that bring a holder of `version` to the newest one."""
        if self._past is None:
            return self._full
        if (cached := self._past.deltas.get(version)) is not None:
            return cached
        base, now = self._past.answers.get(version), self._answer
        if base is None or not isinstance(now, Endpoints) or not now.exists:
            return self._full
        change = diff(base, now)
        worth_it = len(change) * 2 < len(now.endpoints)
        update = encode.delta(self.target, version, self.version, change) if worth_it else self._full
        self._past.deltas[version] = update
        return update


def _same_place(one: Target, other: Target) -> bool:
    """The same address, for clients of whichever namespace: proxies know it by the same words."""
    if not isinstance(one, OutboundTarget) or not isinstance(other, OutboundTarget):
        return False
    return (one.ip, one.port) == (other.ip, other.port)


class _Dependents:
    """The topics that rest on a fact. Mostly it is one, which is held by itself: a dict takes 240 bytes."""

    def __init__(self) -> None:
        self._by_fact: dict[Dependency, Topic | dict[Topic, None]] = {}

    def of(self, fact: Dependency) -> dict[Topic, None]:
        """Those that are to be looked at again when it changes."""
        found = self._by_fact.get(fact, {})
        return {found: None} if isinstance(found, Topic) else found

    def add(self, topic: Topic) -> None:
        """A topic is new."""
        for fact in dependencies(topic.target):
            found = self._by_fact.setdefault(fact, topic)
            if isinstance(found, dict):
                found[topic] = None
            elif found is not topic:
                self._by_fact[fact] = {found: None, topic: None}

    def remove(self, topic: Topic) -> None:
        """A topic is forgotten."""
        for fact in dependencies(topic.target):
            found = self._by_fact[fact]
            if isinstance(found, dict):
                del found[topic]
            if found is topic or not found:
                del self._by_fact[fact]


class Hub:
    """All topics, and what to ask the index again when facts change."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._topics: dict[Target, Topic] = {}
        self._dependents = _Dependents()
        self._unsettled: dict[Topic, None] = {}
        self._planned = False
        self._settling = False

    def __len__(self) -> int:
        return len(self._topics)

    def answer(self, target: Target) -> Answer:
        """What is true of a target now, watched or not."""
        return self._index.answer(target)

    def destinations(self, service: Key, client: str) -> tuple[ToService, ...]:
        """What becomes of requests to each port of a Service, sent by a namespace."""
        return self._index.destinations(service, client)

    @property
    def faults(self) -> Faults:
        """What objects say in vain."""
        return self._index.faults

    def find(self, target: Target) -> Topic | None:
        """The topic of a target, if anybody watches it."""
        return self._topics.get(target)

    def join(self, target: Target, watcher: Watcher) -> Topic:
        """The topic of a target, told to `watcher` from now on."""
        topic = self._topics.get(target)
        if topic is None:
            topic = self._topics[target] = Topic(target, self._index.answer(target))
            self._dependents.add(topic)
        topic.watchers.setdefault(watcher, "")
        return topic

    def leave(self, topic: Topic, watcher: Watcher) -> None:
        """Tells `watcher` no more; a topic without watchers is forgotten."""
        topic.watchers.pop(watcher, None)
        if topic.watchers:
            return
        del self._topics[topic.target]
        self._unsettled.pop(topic, None)
        self._dependents.remove(topic)

    def facts_changed(self) -> None:
        """The index has changes: tells who is concerned, as soon as the loop has read what else has arrived."""
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._planned = False
        now = asyncio.get_running_loop().time()
        for changed in self._index.take_changed():
            self._unsettled.update(self._dependents.of(changed))
        before: Topic | None = None
        for topic in [topic for topic in self._unsettled if topic.settled <= now]:
            del self._unsettled[topic]
            self._refresh(topic, before)
            before = topic
        if self._unsettled and not self._settling:
            self._settling = True
            asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        self._settling = False
        self.facts_changed()

    def _refresh(self, topic: Topic, twin: Topic | None) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        if topic.update(self._index.answer(topic.target), twin):
            topic.settled = began + SETTLE_SECONDS + SETTLE_FACTOR * (clock() - began)
            self._tell(topic, iter(list(topic.watchers)))

    def _tell(self, topic: Topic, watchers: Iterator[Watcher]) -> None:
        told = 0
        for watcher in islice(watchers, AT_ONCE):
            watcher.wake(topic)
            told += 1
        if told == AT_ONCE:
            asyncio.get_running_loop().call_soon(self._tell, topic, watchers)
