"""A Kubernetes API server for tests, on a real socket: lists with pages, watches, writes, and faults on demand.

async with FakeKube() as kube, KubeApi(kube.cluster) as api:
    kube.put(pod("ns", "web-1"))
    kube.on_request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", lambda r: {"status": {...}})
    assert kube.writes() == [...]
"""

import asyncio
import inspect
import itertools
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec
from aiohttp import web
from weft_kube.api import Cluster

from weft_testkit.requests import place_of, write
from weft_testkit.store import (
    CLUSTER_SCOPED,
    Json,
    RefusedError,
    Selector,
    Store,
    collection_path,
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it came in."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any = None

    @property
    def content_type(self) -> str:
        """Without parameters: "application/apply-patch+yaml"."""
        return self.headers.get("Content-Type", "").split(";")[0]


Answer = Json | tuple[int, Json] | None
Hook = Callable[[Recorded], Answer | Awaitable[Answer]]
"""Answers a request, maybe later: a body (200, or 201 for POST), a status and one, or None to let the server answer."""


class _Watcher:
    """One open watch, so that faults can be put upon it."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.frozen = False
        self.bookmark = False


class FakeKube:
    """Use as an async context manager; change the cluster by `put` and `delete`, or by requests."""

    def __init__(self) -> None:
        self.store = Store()
        self.requests: list[Recorded] = []
        """Every request, oldest first."""
        self.cluster = Cluster("")
        """How to reach it, for KubeApi."""
        self.gone_status = False
        """Whether a too old version is answered by status 410 rather than by an ERROR event; servers do both."""
        self._hooks: list[tuple[str, re.Pattern[str], Hook]] = []
        self._watchers: set[_Watcher] = set()
        self._changed = asyncio.Event()
        self._pages: dict[str, tuple[int, list[Json]]] = {}
        self._tokens = itertools.count()
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.cluster = Cluster(f"http://{host}:{port}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drop_watches()
        if self._runner:
            await self._runner.cleanup()

    # What a test does to the cluster

    def put(self, obj: Json) -> Json:
        """Creates or replaces an object; a namespaced one without namespace goes to "default"."""
        if obj["kind"] not in CLUSTER_SCOPED:
            obj = {**obj, "metadata": {"namespace": "default", **obj["metadata"]}}
        stored = self.store.put(collection_path(obj), obj)
        self._wake()
        return stored

    def delete(self, obj: Json) -> None:
        """Removes an object, named by its apiVersion, kind and metadata."""
        namespace = "" if obj["kind"] in CLUSTER_SCOPED else obj["metadata"].get("namespace", "default")
        self.store.delete(collection_path(obj), (namespace, obj["metadata"]["name"]))
        self._wake()

    def get(self, path: str) -> Json:
        """The object at "/api/v1/namespaces/ns/pods/web-1"; RefusedError when there is none."""
        place = place_of(path)
        return self.store.get(place.collection, place.key)

    def on_request(self, method: str, path: str, hook: Hook) -> None:
        """Calls `hook` for requests whose method and path match (regular expression); the newest hook goes first."""
        self._hooks.insert(0, (method, re.compile(path), hook))

    def writes(self) -> list[Recorded]:
        """Requests that are no reads."""
        return [request for request in self.requests if request.method != "GET"]

    # Faults

    def drop_watches(self) -> None:
        """Cuts every open watch in the middle of whatever it does."""
        for watcher in self._watchers:
            if transport := watcher.request.transport:
                transport.abort()

    def freeze_watches(self) -> None:
        """Open watches stay open and say nothing more."""
        for watcher in self._watchers:
            watcher.frozen = True

    def bookmark(self) -> None:
        """Every open watch gets a bookmark at the newest version."""
        for watcher in self._watchers:
            watcher.bookmark = True
        self._wake()

    def compact(self) -> None:
        """Old versions are Gone from now on, for open watches as well."""
        self.store.compact()
        self._wake()

    def restore(self) -> None:
        """The server comes back with etcd from a backup: the same objects, but its versions begin anew."""
        self.store.restore()
        self.drop_watches()

    @property
    def watching(self) -> int:
        """How many watches are open."""
        return len(self._watchers)

    # Requests

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        content = msgspec.json.decode(body) if body else None
        recorded = Recorded(request.method, request.path, dict(request.query), dict(request.headers), content)
        self.requests.append(recorded)
        try:
            return await self._hooked(recorded) or await self._built_in(request, recorded)
        except RefusedError as refused:
            return _json(refused.code, refused.status())

    async def _hooked(self, recorded: Recorded) -> web.Response | None:
        for method, pattern, hook in self._hooks:
            if method != recorded.method or not pattern.fullmatch(recorded.path):
                continue
            answer = hook(recorded)
            answer = await answer if inspect.isawaitable(answer) else answer
            if answer is not None:
                return _json(*(answer if isinstance(answer, tuple) else (_success(recorded), answer)))
        return None

    async def _built_in(self, request: web.BaseRequest, recorded: Recorded) -> web.StreamResponse:
        place = place_of(recorded.path)
        if recorded.method != "GET":
            written = write(self.store, place, recorded.method, recorded.content_type, recorded.body)
            self._wake()
            return _json(_success(recorded), written)
        if place.name:
            return _json(200, self.store.get(place.collection, place.key))
        query = recorded.query
        selector = Selector(place.namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        if query.get("watch") in ("1", "true"):
            return await self._watch(request, place.collection, selector, int(query.get("resourceVersion") or 0))
        return _json(200, self._list(place.collection, selector, query))

    def _list(self, path: str, selector: Selector, query: Mapping[str, str]) -> Json:
        """A page of the state as it was at the first page, as servers with etcd answer."""
        if token := query.get("continue"):
            if token not in self._pages:
                raise RefusedError(410, "Expired", "The provided continue parameter is too old")
            version, rest = self._pages.pop(token)
        else:
            version, rest = self.store.version, list(self.store.collection(path).select(selector))
        limit = int(query.get("limit") or 0) or len(rest)
        meta = {"resourceVersion": str(version)}
        if rest[limit:]:
            meta["continue"] = f"page-{next(self._tokens)}"
            self._pages[meta["continue"]] = version, rest[limit:]
        return {"kind": "List", "apiVersion": "v1", "metadata": meta, "items": rest[:limit]}

    async def _watch(self, request: web.BaseRequest, path: str, selector: Selector, version: int) -> web.StreamResponse:
        if self.gone_status and version < self.store.oldest:
            raise RefusedError(410, "Expired", "too old resource version")
        if version > self.store.version:
            message = f"Too large resource version: {version}, current: {self.store.version}"
            raise RefusedError(504, "Timeout", message)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        watcher = _Watcher(request)  # type: ignore[arg-type]
        self._watchers.add(watcher)
        try:
            await self._feed(watcher, response, path, selector, version or self.store.version)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._watchers.discard(watcher)
        return response

    async def _feed(
        self, watcher: _Watcher, response: web.StreamResponse, path: str, selector: Selector, version: int
    ) -> None:
        while watcher.request.transport is not None:
            changed = self._changed
            if not watcher.frozen:
                if version < self.store.oldest:
                    await response.write(_gone())
                    return
                lines, version = self._since(path, selector, version)
                if watcher.bookmark:
                    watcher.bookmark, lines = False, [*lines, self._bookmark()]
                    version = self.store.version
                if lines:
                    await response.write(b"".join(lines))
            await changed.wait()

    def _since(self, path: str, selector: Selector, version: int) -> tuple[list[bytes], int]:
        fresh = []
        for change in reversed(self.store.collection(path).history):
            if change.version <= version:
                break
            fresh.append(change)
        lines = [line for change in reversed(fresh) if (line := change.event(selector))]
        return lines, fresh[0].version if fresh else version

    def _bookmark(self) -> bytes:
        meta = {"resourceVersion": str(self.store.version)}
        return msgspec.json.encode({"type": "BOOKMARK", "object": {"metadata": meta}}) + b"\n"


def _success(request: Recorded) -> int:
    return 201 if request.method == "POST" else 200


def _json(status: int, body: Json) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


def _gone() -> bytes:
    status = RefusedError(410, "Expired", "too old resource version").status()
    return msgspec.json.encode({"type": "ERROR", "object": status}) + b"\n"
