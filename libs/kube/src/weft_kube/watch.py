"""List, watch and list again: the newest objects of one kind, as calls of an index's three verbs.

States, after kube-rs: *listing* pages to the end, then `reset`; *watching* from the list's version, with bookmarks.
A watch that ends, breaks or stays silent for `idle_seconds` goes on from the last version seen. A version that the
server has forgotten (410 Gone) or does not know (etcd restored from a backup) leads to a new list, and so does half an
hour: an event that a watch has lost without a word would never be missed. A list counts when it is complete; until
then what is known stays.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from weft_kube.api import FAILURES, UNREADABLE, ApiError, KubeApi, UnreadableError, decoded, refusal
from weft_kube.nesting import DEEPEST, shallow
from weft_kube.objects import Object


class Keyed(Protocol):
    """What an index holds: known by namespace and name."""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""


O = TypeVar("O", bound=Object)  # noqa: E741
T = TypeVar("T", bound=Keyed)
Contra_contra = TypeVar("Contra_contra", bound=Keyed, contravariant=True)

PAGE = 500
WATCH_SECONDS = 290
"""The server ends a watch after this; a fresh one starts where it ended."""

RELIST_SECONDS = 1800.0
"""How often, give or take a quarter, everything is listed although no watch failed. For 20,000 pods this takes a second
of CPU, the loop 25 ms at once; an index finds nothing new in what it has."""

ABSENT_SECONDS = 5.0
"""How often a kind that the server does not know is asked for."""

LINE = 2**23
"""Longest event taken, in bytes; etcd refuses objects above 1.5 MB."""

STEADY_SECONDS = 5.0
"""A watch that lasted this long, or brought an event, was in order: the next one starts without a pause."""


class Index(Protocol[Contra_contra]):
    """What a reflector feeds. Pure: no call waits or fails."""

    def apply(self, obj: Contra_contra) -> None:
        """An object is new or changed."""

    def delete(self, key: tuple[str, str]) -> None:
        """The object with this namespace and name is gone."""

    def reset(self, objects: Sequence[Contra_contra]) -> None:
        """These are all there are; others are gone."""


@dataclass(frozen=True, slots=True)
class Resource(Generic[O]):
    """A kind to watch: its collection's path ("/api/v1/pods") and the struct of its fields."""

    path: str
    kind: type[O]
    label_selector: str = ""
    field_selector: str = ""

    def params(self) -> dict[str, str]:
        """Selectors as query parameters."""
        pairs = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in pairs.items() if value}


@dataclass(slots=True)
class WatchState:
    """What metrics and readiness read of a reflector."""

    synced: asyncio.Event = field(default_factory=asyncio.Event)
    objects: int = 0
    """On the server, as far as this reflector knows; malformed ones are counted."""
    relists: int = 0
    events: int = 0
    failures: int = 0
    silences: int = 0
    """Watches given up because they said nothing for too long."""
    malformed: int = 0
    """Objects left out because a field has a type that it cannot have, or nests too deep."""
    last_event: float = 0.0
    """Loop time of the last sign of life: event, bookmark or list."""


UNKNOWN_VERSION = "Too large resource version"
"""How the API server's refusal of a version above its own begins; its status is 504."""


class _GoneError(Exception):
    """The server cannot watch from this version; only a list helps."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _EventMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    name: str = ""
    namespace: str = ""


class _Versioned(msgspec.Struct):
    metadata: _EventMeta


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw
    too_deep: bool = False


class _Code(msgspec.Struct):
    code: int = 500


_LIST = msgspec.json.Decoder(_List)
_EVENT = msgspec.json.Decoder(_Event)
_VERSIONED = msgspec.json.Decoder(_Versioned)

_TOO_DEEP = msgspec.Raw(b"null")


def pause(attempt: int) -> float:
    """Seconds before the next attempt: they double up to 30, with jitter."""
    return random.uniform(0.5, 1.0) * min(30.0, 0.1 * 2.0 ** min(attempt, 10))  # noqa: S311


class Reflector(Generic[T]):
    """Keeps an index equal to the API server's objects of one kind. `run` goes on until cancelled.

    `optional`: a kind that the server does not know has no objects, until it does.

    With `translate` the index gets what that makes of each object: page by page, so that the objects of a long list
    are never in memory together.
    """

    def __init__(
        self,
        api: KubeApi,
        resource: Resource[Any],
        index: Index[T],
        *,
        translate: Callable[[Any], T] = lambda obj: obj,
        optional: bool = False,
        idle_seconds: float = 50.0,
        relist_seconds: float = RELIST_SECONDS,
        on_error: Callable[[Exception], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._resource = resource
        self._index = index
        self._translate = translate
        self._optional = optional
        self._idle_seconds = idle_seconds
        self._relist_seconds = relist_seconds
        self._relist_at = 0.0
        self._on_error = on_error
        self._sleep = sleep
        self._version = ""
        self._decoder = msgspec.json.Decoder(resource.kind)
        self.state = WatchState()

    async def run(self) -> None:
        """Lists and watches for ever; what fails or ends at once is tried again after a jittered pause."""
        clock = asyncio.get_running_loop().time
        attempt = 0
        while True:
            began, events = clock(), self.state.events
            await self._round()
            steady = self.state.events > events or clock() - began >= STEADY_SECONDS
            attempt = 0 if steady else attempt + 1
            if attempt:
                await self._sleep(pause(attempt))

    async def _round(self) -> None:
        try:
            if not self._version or asyncio.get_running_loop().time() >= self._relist_at:
                self._plan_relist()
                await self._list()
            await self._watch()
        except _GoneError:
            self._version = ""
        except (*FAILURES, *UNREADABLE) as error:
            if isinstance(error, UNREADABLE):  # a watch from here would say the same again
                self._version = ""
            if self._optional and isinstance(error, ApiError) and error.status == 404:
                await self._wait_for_kind()
                return
            self.state.failures += 1
            self._on_error(error)

    def _plan_relist(self) -> None:
        """The next one, also when this one fails: a watch that works is never held up by lists that do not."""
        jittered = self._relist_seconds * random.uniform(0.75, 1.25)  # noqa: S311
        self._relist_at = asyncio.get_running_loop().time() + jittered

    async def _wait_for_kind(self) -> None:
        """The server does not know the kind, or no more."""
        self._version = ""
        self._take([], 0)
        await self._sleep(ABSENT_SECONDS)

    def _alive(self) -> None:
        self.state.last_event = asyncio.get_running_loop().time()

    async def _list(self) -> None:
        objects: list[T] = []
        listed = 0
        params = self._resource.params() | {"limit": str(PAGE)}
        while True:
            page = _page(await self._api.request("GET", self._resource.path, params))
            listed += len(page.items or [])
            objects += [obj for item in page.items or [] if (obj := self._decode(item)) is not None]
            if not page.metadata.continue_:
                break
            params["continue"] = page.metadata.continue_
        self._take(objects, listed)
        self._version = page.metadata.resource_version
        self.state.relists += 1

    def _take(self, objects: list[T], listed: int) -> None:
        """These are all there are."""
        self._index.reset(objects)
        self.state.objects = listed
        self._alive()
        self.state.synced.set()

    def _decode(self, raw: msgspec.Raw) -> T | None:
        """One broken object must not hide the others."""
        try:
            return self._translate(self._decoder.decode(raw))
        except UNREADABLE as error:
            self.state.malformed += 1
            self._on_error(self._too_deep() if raw == _TOO_DEEP else error)
            return None

    def _too_deep(self) -> Exception:
        where = f"one of {self._resource.path}"
        return UnreadableError(f"{where} nests more than {DEEPEST} deep, in managedFields perhaps: it is left out")

    async def _watch(self) -> None:
        params = self._resource.params() | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        try:
            async with asyncio.timeout(self._idle_seconds) as silence:
                await self._read(params, silence)
        except TimeoutError:
            if not silence.expired():
                raise
            self.state.silences += 1
        except ApiError as error:
            if error.status == 410 or error.message.startswith(UNKNOWN_VERSION):
                raise _GoneError from error
            raise

    async def _read(self, params: dict[str, str], silence: asyncio.Timeout) -> None:
        clock = asyncio.get_running_loop().time
        async with self._api.stream("GET", self._resource.path, params) as response:
            async for line in response.lines(LINE):
                silence.reschedule(clock() + self._idle_seconds)
                self._handle(line)

    def _handle(self, line: bytes) -> None:
        event = _event(line)
        self._alive()
        if event.type == "ERROR":
            raise _refused(event.object)
        meta = _VERSIONED.decode(event.object).metadata
        if event.type != "BOOKMARK":
            self.state.events += 1
            self._change(event, (meta.namespace, meta.name))
        self._version = meta.resource_version

    def _change(self, event: _Event, key: tuple[str, str]) -> None:
        """What is deleted goes by its name alone: it may be malformed by now."""
        if event.type == "DELETED":
            self.state.objects -= 1
            self._index.delete(key)
            return
        self.state.objects += event.type == "ADDED"
        if (obj := self._decode(_TOO_DEEP if event.too_deep else event.object)) is not None:
            self._index.apply(obj)


def _page(body: bytes) -> _List:
    """A page of a list; objects that nest too deep stand as `_TOO_DEEP`."""
    try:
        return _LIST.decode(body)
    except RecursionError:
        return _LIST.decode(shallow(body, 2))


def _event(line: bytes) -> _Event:
    """An event; of an object that nests too deep it has the metadata."""
    try:
        return _EVENT.decode(line)
    except RecursionError:
        event = _EVENT.decode(shallow(line, 3))
        return _Event(event.type, event.object, too_deep=True)


def _refused(status: msgspec.Raw) -> ApiError:
    found = decoded(bytes(status), _Code)
    return refusal(found.code, bytes(status))
