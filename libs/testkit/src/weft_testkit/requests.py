"""What a request to a Kubernetes API means for the store: which object its path names, and what a write makes of it."""

import re
from dataclasses import dataclass
from typing import Any

from weft_testkit.store import Json, RefusedError, Store, json_patch, merge_patch

WITH_OBJECT = ("", "status", "finalize", "scale")
"""Subresources that are written like the object itself; others only hooks can answer."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names: a collection, or an object in it, or a subresource."""

    collection: str
    namespace: str
    name: str
    subresource: str

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name of the object."""
        return self.namespace, self.name


def place_of(path: str) -> Place:
    """Parses "/api/v1/namespaces/ns/pods/web-1/status" and the like."""
    found = re.fullmatch(r"(/api/v1|/apis/[^/]+/[^/]+)/(.+)", path)
    if not found:
        raise RefusedError(404, "NotFound", "the server could not find the requested resource")
    root, parts, namespace = found[1], found[2].split("/"), ""
    if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in ("status", "finalize"):
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource = [*parts, "", ""][:3]
    return Place(f"{root}/{plural}", namespace, name, subresource)


def write(store: Store, place: Place, method: str, content_type: str, body: Any) -> Json:
    """POST, PUT, PATCH and DELETE; the object as stored, or as it was last."""
    if method == "DELETE":
        return store.delete(place.collection, place.key)
    if place.subresource not in WITH_OBJECT:
        raise RefusedError(404, "NotFound", f"no hook answers {method} of {place.subresource}")
    if method == "POST":
        obj = _created(store, place, body)
    elif method == "PUT":
        _refuse_stale(store.get(place.collection, place.key), body)
        obj = body
    else:
        obj = _patched(store, place, content_type, body)
    return store.put(place.collection, _placed(obj, place))


def _placed(obj: Json, place: Place) -> Json:
    """Name and namespace are the path's, as far as it has them."""
    named = {"name": place.name, "namespace": place.namespace}
    return {**obj, "metadata": obj.get("metadata", {}) | {key: value for key, value in named.items() if value}}


def _created(store: Store, place: Place, obj: Json) -> Json:
    meta = obj.setdefault("metadata", {})
    if not meta.get("name"):
        meta["name"] = f"{meta.get('generateName', '')}{store.version:05d}"
    if (place.namespace, meta["name"]) in store.collection(place.collection).objects:
        raise RefusedError(409, "AlreadyExists", f'"{meta["name"]}" already exists')
    return obj


def _patched(store: Store, place: Place, content_type: str, body: Any) -> Json:
    if content_type == "application/json-patch+json":
        return json_patch(store.get(place.collection, place.key), body)
    if content_type == "application/apply-patch+yaml":
        now = store.collection(place.collection).objects.get(place.key, {})
    else:
        now = store.get(place.collection, place.key)
        _refuse_stale(now, body)
    return dict(merge_patch(now, body))


def _refuse_stale(now: Json, body: Json) -> None:
    """Optimistic concurrency: a version that is named must be the newest."""
    wanted = body.get("metadata", {}).get("resourceVersion")
    if wanted and wanted != now["metadata"]["resourceVersion"]:
        raise RefusedError(409, "Conflict", "the object has been modified")
