"""ConfigMap weft-rotation: the phase of a rotation, and what each pod's newest leaf proves.

While a rotation goes on, every replica writes down a leaf before it gives it away, and the answer to that write tells
the phase as it is now. The leader enters a phase only upon the version that it judged by. So no leaf slips past a
decision, whichever replica signs and however old its view is.
"""

import asyncio
from collections.abc import Mapping, Set
from typing import Any

import msgspec
from weft_kube.api import ApiError, KubeApi
from weft_kube.objects import Meta, Object

from weft_identity.faults import FAILURES
from weft_identity.rotation import Leaf, Phase, Proof, State

NAME = "weft-rotation"
STATE, REQUESTED, PROGRESS = "state", "requested", "progress"
BATCH_SECONDS = 0.2
"""Leaves of this time are written together."""

MAX_PODS = 8_000
"""An object of etcd has 1.5 MB, and a leaf takes some 130 bytes in it."""


class RotationMap(Object):
    """v1 ConfigMap: `state`, `requested` (by whom wants a rotation), `progress`, and a key for each pod's uid."""

    data: dict[str, str] = msgspec.field(default_factory=dict)


class LedgerError(Exception):
    """A leaf could not be written down."""


class Ledger:
    """The ConfigMap as last read or written. `run` writes what `record` collects."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self.state = State()
        self.leaves: dict[str, Leaf] = {}
        self.requested = False
        self._progress = ""
        self.version = ""
        self._api = api
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"
        self._path = f"{self._collection}/{NAME}"
        self._pending: dict[str, str] = {}
        self._written: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()

    async def refresh(self) -> None:
        """Reads it; absent means idle."""
        try:
            self._take(await self._api.get(self._path, RotationMap))
        except ApiError as error:
            if error.status != 404:
                raise
            self._take(RotationMap(Meta()))

    def differs(self, data: dict[str, str]) -> bool:
        """Does a ConfigMap seen by a watch tell another phase, or a new wish?"""
        return _state(data) != self.state or (REQUESTED in data) != self.requested

    async def enter(self, state: State, pods: set[str], version: str) -> None:
        """Writes the phase upon the version it was judged by, without leaves of pods that are gone; else a conflict."""
        kept = {uid: _text(self.state, leaf) for uid, leaf in self.leaves.items() if uid in pods}
        data = {STATE: msgspec.json.encode(state).decode()} | (kept if state.started == self.state.started else {})
        meta = {"name": NAME, "labels": {"app.kubernetes.io/part-of": "weft", "weft.dev/component": "identity"}}
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        if version:
            meta["resourceVersion"] = version
            answer = await self._api.request("PUT", self._path, body=body)
        else:
            answer = await self._api.create(self._collection, body)
        self._take(msgspec.json.decode(answer, type=RotationMap))

    async def show(self, progress: dict[str, Any], gone: Set[str]) -> None:
        """Writes for people whom the phase waits for, and leaves out pods that are gone, when either has changed."""
        text = msgspec.json.encode(progress).decode()
        forgotten = dict.fromkeys(self.leaves.keys() & gone)
        if self.version and (text != self._progress or forgotten):
            await self._merge({PROGRESS: text, **forgotten})

    async def record(self, uid: str, proof: Proof, not_after: int, now: int) -> State:
        """Returns, once the leaf is written down, the phase as it is then; LedgerError when it cannot be written."""
        if self.state.phase is Phase.IDLE:
            return self.state
        before = self.leaves.get(uid)
        proved = before.proved if before and before.proof == proof else now
        self._pending[uid] = _text(self.state, Leaf(proof, not_after, proved))
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
        self._wake.set()
        await asyncio.shield(self._written)
        return self.state

    async def run(self) -> None:
        """Writes leaves for ever, those of a moment together."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(BATCH_SECONDS)
            self._wake.clear()
            pending, self._pending = self._pending, {}
            written, self._written = self._written, None
            try:
                await self._merge(pending)
            except FAILURES as error:
                if written:
                    written.set_exception(LedgerError(f"the leaf could not be written down: {error}"))
                    written.exception()  # its waiters may all have gone
            else:
                if written:
                    written.set_result(None)

    async def _merge(self, data: Mapping[str, str | None]) -> None:
        self._take(msgspec.json.decode(await self._api.merge(self._path, {"data": data}), type=RotationMap))

    def _take(self, found: RotationMap) -> None:
        self.version = found.metadata.resource_version
        self.state = _state(found.data)
        self.requested = REQUESTED in found.data
        self._progress = found.data.get(PROGRESS, "")
        pairs = ((key, _leaf(text, self.state)) for key, text in found.data.items())
        self.leaves = {uid: leaf for uid, leaf in pairs if leaf}


def _state(data: dict[str, str]) -> State:
    """A state that nobody can read is none: what it belonged to is begun anew."""
    try:
        return msgspec.json.decode(data.get(STATE, "{}"), type=State)
    except (msgspec.DecodeError, RecursionError):
        return State(note="given up: the state in ConfigMap weft-rotation does not parse")


def _text(state: State, leaf: Leaf) -> str:
    return f"{state.started}.{leaf.proof.value}.{leaf.not_after}.{leaf.proved}"


def _leaf(text: str, state: State) -> Leaf | None:
    """None for other keys, and for leaves of another rotation: they prove nothing in this one."""
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts) or int(parts[0]) != state.started:
        return None
    proof, not_after, proved = map(int, parts[1:])
    return Leaf(Proof(min(proof, 2)), not_after, proved)
