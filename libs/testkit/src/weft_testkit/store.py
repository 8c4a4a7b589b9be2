"""The objects of a fake cluster: versions, history and patches as in the Kubernetes API, without any I/O."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

Json = dict[str, Any]

CLUSTER_SCOPED = {
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "ValidatingWebhookConfiguration",
}


class RefusedError(Exception):
    """An answer that is a Kubernetes Status: code, reason and message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason

    def status(self) -> Json:
        """The Status object."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": self.code,
            "reason": self.reason,
            "message": str(self),
        }


def plural(kind: str) -> str:
    """The resource's name in paths: "EndpointSlice" → "endpointslices"."""
    lower = kind.lower()
    if lower.endswith("y") and not lower.endswith("ay"):
        return lower[:-1] + "ies"
    return lower + ("es" if lower.endswith(("s", "x", "ch")) else "s") if lower != "endpoints" else lower


def collection_path(obj: Json) -> str:
    """The path that lists all objects of this one's kind: "/api/v1/pods"."""
    version = obj["apiVersion"]
    prefix = "/apis/" if "/" in version else "/api/"
    return f"{prefix}{version}/{plural(obj['kind'])}"


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def json_patch(target: Json, operations: list[Json]) -> Json:
    """RFC 6902: add, remove, replace and test, which is what weft sends."""
    result: Any = copy.deepcopy(target)
    for operation in operations:
        *way, last = [p.replace("~1", "/").replace("~0", "~") for p in operation["path"].split("/")[1:]]
        parent = result
        for name in way:
            parent = parent[int(name) if isinstance(parent, list) else name]
        _operate(parent, last, operation)
    return dict(result)


def _operate(parent: Any, name: str, operation: Json) -> None:
    verb, value = operation["op"], operation.get("value")
    place: Any = name
    if isinstance(parent, list):
        place = len(parent) if name == "-" else int(name)
    if verb == "remove":
        del parent[place]
    elif verb == "test":
        if parent[place] != value:
            raise RefusedError(422, "Invalid", f"test of {operation['path']} failed")
    elif isinstance(parent, list) and verb == "add":
        parent.insert(place, value)
    else:
        parent[place] = value


def label_match(selector: str, labels: dict[str, str]) -> bool:
    """Equality and set based label selectors."""
    for term in filter(None, re.split(r",(?![^(]*\))", selector)):
        found = re.fullmatch(r"\s*(!?)([\w./-]+)\s*(?:(==|=|!=|\bin\b|\bnotin\b)\s*(.*?))?\s*", term)
        if not found:
            raise RefusedError(400, "BadRequest", f"unable to parse requirement: {term}")
        absent, name, operator, text = found.groups()
        values = [v.strip() for v in (text or "").strip("()").split(",")]
        if operator in (None, ""):
            holds = (name in labels) != bool(absent)
        elif operator in ("!=", "notin"):
            holds = labels.get(name) not in values
        else:
            holds = name in labels and labels[name] in values
        if not holds:
            return False
    return True


def field_match(selector: str, obj: Json) -> bool:
    """Field selectors of "a.b=c" and "a.b!=c" terms."""
    for term in filter(None, selector.split(",")):
        path, operator, wanted = re.fullmatch(r"([\w.]+)(==|=|!=)(.*)", term).groups()  # type: ignore[union-attr]
        value: Any = obj
        for name in path.split("."):
            value = value.get(name, "") if isinstance(value, dict) else ""
        if (str(value) == wanted) == (operator == "!="):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Selector:
    """Which objects a list or watch is about."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""

    def matches(self, obj: Json | None) -> bool:
        """Does it select the object? Never when there is none."""
        if obj is None:
            return False
        meta = obj["metadata"]
        return (
            self.namespace in ("", meta.get("namespace", ""))
            and label_match(self.labels, meta.get("labels") or {})
            and field_match(self.fields, obj)
        )


@dataclass(frozen=True, slots=True)
class Change:
    """One step of history: what an object was and is; `encoded` is the newest of both."""

    version: int
    before: Json | None
    after: Json | None
    encoded: bytes

    def event(self, selector: Selector) -> bytes:
        """The line that a watch with this selector sends; empty when the change does not concern it."""
        was, now = selector.matches(self.before), selector.matches(self.after)
        if not was and not now:
            return b""
        kind = b"DELETED" if not now else b"MODIFIED" if was else b"ADDED"
        return b'{"type":"' + kind + b'","object":' + self.encoded + b"}\n"


@dataclass(slots=True)
class Collection:
    """All objects of one kind, and how they came to be so."""

    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)

    def select(self, selector: Selector) -> Iterator[Json]:
        """The objects that match, by namespace and name."""
        return (obj for _, obj in sorted(self.objects.items()) if selector.matches(obj))


class Store:
    """Every collection, by its path, under one counter of versions."""

    def __init__(self) -> None:
        self.version = 1
        self.oldest = 0
        """Watches from a version below this are told 410 Gone."""
        self._collections: dict[str, Collection] = {}

    def collection(self, path: str) -> Collection:
        """The collection at "/api/v1/pods"; an empty one when nothing was put there yet."""
        return self._collections.setdefault(path, Collection())

    def get(self, path: str, key: tuple[str, str]) -> Json:
        """One object; RefusedError with 404 when there is none."""
        obj = self.collection(path).objects.get(key)
        if obj is None:
            raise RefusedError(404, "NotFound", f'{path.rsplit("/", 1)[-1]} "{key[1]}" not found')
        return obj

    def put(self, path: str, obj: Json) -> Json:
        """Creates or replaces; fills what a server fills. Returns the object as stored."""
        obj = copy.deepcopy(obj)
        meta = obj.setdefault("metadata", {})
        key = (meta.get("namespace", ""), meta["name"])
        collection = self.collection(path)
        before = collection.objects.get(key)
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        meta.setdefault("uid", before["metadata"]["uid"] if before else f"uid-{self.version}")
        meta.setdefault("creationTimestamp", "2026-11-22T00:00:00Z")
        collection.objects[key] = obj
        collection.history.append(Change(self.version, before, obj, msgspec.json.encode(obj)))
        return obj

    def delete(self, path: str, key: tuple[str, str]) -> Json:
        """Removes an object; its DELETED event carries a version of its own."""
        before = self.get(path, key)
        self.version += 1
        last = copy.deepcopy(before)
        last["metadata"]["resourceVersion"] = str(self.version)
        del self.collection(path).objects[key]
        self.collection(path).history.append(Change(self.version, before, None, msgspec.json.encode(last)))
        return last

    def restore(self) -> None:
        """Begins to count anew, without history."""
        self.version, self.oldest = 1, 0
        for collection in self._collections.values():
            collection.history.clear()

    def compact(self) -> None:
        """Forgets history: a watch from any version but the newest is Gone."""
        self.version += 1
        self.oldest = self.version
        for collection in self._collections.values():
            collection.history.clear()
