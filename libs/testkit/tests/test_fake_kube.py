"""FakeKube answers as an API server does, so that tests of services may rely on it."""

from typing import Any

import msgspec
import pytest
from weft_kube.api import ApiError, KubeApi
from weft_kube.objects import Object, Pod
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import namespace, pod
from weft_testkit.store import json_patch, label_match

PODS = "/api/v1/namespaces/ns/pods"


async def test_put_objects_can_be_read() -> None:
    """What a test puts is served under its namespaced path."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        kube.put(pod("ns", "web-1", "10.0.0.1"))
        assert (await api.get(f"{PODS}/web-1", Pod)).status.pod_ips[0].ip == "10.0.0.1"


async def test_absent_objects_are_not_found() -> None:
    """404 carries the server's reason."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        with pytest.raises(ApiError, match="404 NotFound"):
            await api.get(f"{PODS}/web-1", Pod)


async def test_lists_side_by_side_do_not_mix() -> None:
    """Each list goes on with its own pages."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        for number in range(4):
            kube.put(pod("ns", f"p{number}"))
            kube.put(namespace(f"n{number}"))
        tokens = {}
        for path in ("/api/v1/pods", "/api/v1/namespaces"):
            page = msgspec.json.decode(await api.request("GET", path, {"limit": "2"}))
            tokens[path] = page["metadata"]["continue"]
        rest = msgspec.json.decode(await api.request("GET", "/api/v1/pods", {"continue": tokens["/api/v1/pods"]}))
        assert [item["metadata"]["name"] for item in rest["items"]] == ["p2", "p3"]


async def test_creating_twice_is_a_conflict() -> None:
    """POST creates in the path's namespace; the second is refused with AlreadyExists."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1"}}
        await api.create(PODS, body)
        with pytest.raises(ApiError, match="409 AlreadyExists"):
            await api.create(PODS, body)
        assert [r.body["metadata"]["name"] for r in kube.writes()] == ["web-1", "web-1"]


async def test_apply_creates_and_changes() -> None:
    """Server-side apply creates what is absent and changes only the fields it names."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        path = "/api/v1/namespaces/ns"
        await api.apply(path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"labels": {"a": "1"}}}, "weft")
        await api.apply(path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"labels": {"b": "2"}}}, "weft")
        assert (await api.get(path, Object)).metadata.labels == {"a": "1", "b": "2"}


async def test_merge_with_a_stale_version_is_a_conflict() -> None:
    """A patch that names a version succeeds only on that version."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        kube.put(namespace("ns"))
        with pytest.raises(ApiError, match="409 Conflict"):
            await api.merge("/api/v1/namespaces/ns", {"metadata": {"resourceVersion": "0"}})


async def test_hooks_answer_before_the_server() -> None:
    """A hook answers reviews and faults; what it leaves with None the server answers."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
        kube.on_request("POST", reviews, lambda r: {"status": {"authenticated": r.body["spec"]["token"] == "good"}})
        assert await api.create(reviews, {"spec": {"token": "good"}}) == b'{"status":{"authenticated":true}}'


@pytest.mark.parametrize(
    ("selector", "expected"),
    [("", True), ("app=web", True), ("app!=web", False), ("app in (a, web)", True), ("!app", False), ("x", False)],
)
def test_label_selectors(selector: str, expected: bool) -> None:
    """Equality, sets and existence select as in Kubernetes."""
    assert label_match(selector, {"app": "web"}) is expected


def test_json_patch() -> None:
    """Operations apply in order; `~1` in a path is a slash."""
    operations: list[dict[str, Any]] = [
        {"op": "add", "path": "/a/-", "value": 2},
        {"op": "replace", "path": "/b~1c", "value": 3},
        {"op": "remove", "path": "/d"},
    ]
    assert json_patch({"a": [1], "b/c": 0, "d": 0}, operations) == {"a": [1, 2], "b/c": 3}
