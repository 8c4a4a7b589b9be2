"""List, watch and list again: the newest objects of one kind, as calls of an index's three verbs.

States, after kube-rs: *listing* pages to the end, then `reset`; *watching* from the list's version, with bookmarks;
an ended watch goes on from the last version seen; 410 Gone, or silence longer than `idle_seconds`, lists again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import aiohttp
import msgspec

from weft_kube.api import ApiError, KubeApi
from weft_kube.objects import Object

T = TypeVar("T", bound=Object)
Contra_contra = TypeVar("Contra_contra", bound=Object, contravariant=True)

PAGE = 500
WATCH_SECONDS = 290
"""The server ends a watch after this; a fresh one starts where it ended."""


class Index(Protocol[Contra_contra]):
    """What a reflector feeds. Pure: no call waits or fails."""

    def apply(self, obj: Contra_contra) -> None:
        """An object is new or changed."""

    def delete(self, key: tuple[str, str]) -> None:
        """The object with this namespace and name is gone."""

    def reset(self, objects: Sequence[Contra_contra]) -> None:
        """These are all there are; others are gone."""


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """A kind to watch: its collection's path ("/api/v1/pods") and the struct of its fields."""

    path: str
    kind: type[T]
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
    relists: int = 0
    events: int = 0
    failures: int = 0
    last_event: float = 0.0
    """Loop time of the last sign of life: event, bookmark or list."""


class _GoneError(Exception):
    """The version to watch from is too old; only a list helps."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct, Generic[T]):
    metadata: _ListMeta
    items: list[T] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class Reflector(Generic[T]):
    """Keeps an index equal to the API server's objects of one kind. `run` goes on until cancelled."""

    def __init__(
        self,
        api: KubeApi,
        resource: Resource[T],
        index: Index[T],
        *,
        idle_seconds: float = 60.0,
        on_error: Callable[[Exception], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._resource = resource
        self._index = index
        self._idle_seconds = idle_seconds
        self._on_error = on_error
        self._sleep = sleep
        self._version = ""
        self.state = WatchState()
        kind = resource.kind
        self._list_decoder = msgspec.json.Decoder(_List[kind])  # type: ignore[valid-type]
        self._event_decoder = msgspec.json.Decoder(_Event)
        self._object_decoder = msgspec.json.Decoder(kind)

    async def run(self) -> None:
        """Lists and watches for ever; every failure is retried after a jittered pause."""
        attempt = 0
        while True:
            seen = self.state.events
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                attempt = 0
            except _GoneError:
                self._version = ""
            except (ApiError, aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
                self.state.failures += 1
                self._on_error(error)
                attempt = 0 if self.state.events > seen else attempt + 1
                await self._sleep(random.uniform(0.5, 1.0) * min(30.0, 0.2 * 2**attempt))  # noqa: S311

    def _alive(self) -> None:
        self.state.last_event = asyncio.get_running_loop().time()

    async def _list(self) -> None:
        objects: list[T] = []
        params = self._resource.params() | {"limit": str(PAGE)}
        while True:
            page = self._list_decoder.decode(await self._api.request("GET", self._resource.path, params))
            objects += page.items or []
            if not page.metadata.continue_:
                break
            params["continue"] = page.metadata.continue_
        self._index.reset(objects)
        self._version = page.metadata.resource_version
        self.state.relists += 1
        self._alive()
        self.state.synced.set()

    async def _watch(self) -> None:
        params = self._resource.params() | {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        try:
            async with self._api.stream("GET", self._resource.path, params) as response:
                while line := await self._next_line(response):
                    self._handle(line)
        except ApiError as error:
            if error.status == 410:
                raise _GoneError from error
            raise

    async def _next_line(self, response: aiohttp.ClientResponse) -> bytes:
        """A silent watch may be a dead one: after `idle_seconds` the watch is asked anew from the last version."""
        async with asyncio.timeout(self._idle_seconds):
            return await response.content.readuntil(b"\n")

    def _handle(self, line: bytes) -> None:
        event = self._event_decoder.decode(line)
        self._alive()
        if event.type == "ERROR":
            status = msgspec.json.decode(event.object)
            if status.get("code") == 410:
                raise _GoneError
            raise ApiError(status.get("code", 500), status.get("reason", "Unknown"), status.get("message", ""))
        obj = self._object_decoder.decode(event.object)
        self._version = obj.metadata.resource_version
        if event.type == "BOOKMARK":
            return
        self.state.events += 1
        if event.type == "DELETED":
            self._index.delete(obj.key)
        else:
            self._index.apply(obj)
