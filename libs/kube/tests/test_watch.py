"""A reflector's index ends equal to the cluster, whatever happens on the way."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from weft_kube.api import KubeApi
from weft_kube.metrics import WatchCollector
from weft_kube.objects import Pod
from weft_kube.watch import PAGE, RELIST_SECONDS, Reflector, Resource, pause
from weft_testkit.fake_kube import FakeKube, Recorded
from weft_testkit.objects import pod
from weft_testkit.wait import until


class Names:
    """An index that keeps each pod's node, as the simplest thing that can be right or wrong."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}

    def apply(self, obj: Pod) -> None:
        self.nodes[obj.metadata.name] = obj.spec.node_name

    def delete(self, key: tuple[str, str]) -> None:
        self.nodes.pop(key[1], None)

    def reset(self, objects: Sequence[Pod]) -> None:
        self.nodes = {obj.metadata.name: obj.spec.node_name for obj in objects}


class Followed:
    """A fake cluster and a reflector that follows its pods."""

    def __init__(
        self,
        kube: FakeKube,
        api: KubeApi,
        idle_seconds: float,
        *,
        optional: bool = False,
        relist_seconds: float = RELIST_SECONDS,
        **selectors: str,
    ) -> None:
        self.kube = kube
        self.index = Names()
        self.errors: list[Exception] = []
        self.reflector = Reflector(
            api,
            Resource("/api/v1/pods", Pod, **selectors),
            self.index,
            optional=optional,
            idle_seconds=idle_seconds,
            relist_seconds=relist_seconds,
            on_error=self.errors.append,
            sleep=lambda _: asyncio.sleep(0),
        )

    def put(self, name: str, node: str = "1") -> None:
        self.kube.put(pod("ns", name, node=node))

    def truth(self) -> dict[str, str]:
        objects = self.kube.store.collection("/api/v1/pods").objects.values()
        return {obj["metadata"]["name"]: obj["spec"]["nodeName"] for obj in objects}

    async def settled(self) -> None:
        await until(lambda: self.reflector.state.synced.is_set() and self.index.nodes == self.truth())


@asynccontextmanager
async def followed(
    idle_seconds: float = 30.0, *, optional: bool = False, relist_seconds: float = RELIST_SECONDS, **selectors: str
) -> AsyncIterator[Followed]:
    """A running reflector of a fake cluster's pods."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        result = Followed(kube, api, idle_seconds, optional=optional, relist_seconds=relist_seconds, **selectors)
        task = tasks.create_task(result.reflector.run())
        yield result
        task.cancel()


async def test_all_pages_are_read() -> None:
    """A list longer than a page is complete before the index hears of it."""
    async with FakeKube() as kube:
        for number in range(PAGE + 1):
            kube.put(pod("ns", f"web-{number}"))
        async with KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
            follow = Followed(kube, api, 30)
            task = tasks.create_task(follow.reflector.run())
            await follow.settled()
            task.cancel()
        assert follow.reflector.state.objects == PAGE + 1


async def test_changes_arrive_by_watch() -> None:
    """After the first list, events alone keep the index equal."""
    async with followed() as follow:
        await follow.settled()
        follow.put("a", "1")
        follow.put("b", "1")
        follow.put("a", "2")
        await follow.settled()
        follow.kube.delete(pod("ns", "b"))
        await follow.settled()
        assert (follow.index.nodes, follow.reflector.state.relists) == ({"a": "2"}, 1)


@pytest.mark.parametrize("as_status", [False, True])
async def test_gone_lists_again(as_status: bool) -> None:
    """410, by status or as an event, leads to a list: nothing that exists is lost, what was deleted meanwhile goes."""
    async with followed() as follow:
        follow.put("kept")
        follow.put("deleted")
        await follow.settled()
        follow.kube.gone_status = as_status
        follow.kube.drop_watches()
        follow.kube.delete(pod("ns", "deleted"))
        follow.kube.compact()
        await until(lambda: follow.reflector.state.relists == 2)
        assert follow.index.nodes == {"kept": "1"}


async def test_a_restored_server_is_listed_again() -> None:
    """A version that the server does not know (etcd from a backup) leads to a list; nothing is lost meanwhile."""
    async with followed() as follow:
        follow.put("kept")
        follow.put("deleted")
        await follow.settled()
        follow.kube.restore()
        follow.kube.delete(pod("ns", "deleted"))
        await until(lambda: follow.reflector.state.relists == 2)
        assert follow.index.nodes == {"kept": "1"}


async def test_half_a_list_changes_nothing() -> None:
    """When a later page fails, what is known stays until a list is complete."""
    async with followed() as follow:
        follow.put("a")
        await follow.settled()
        complete: list[bool] = []

        def later_pages(request: Recorded) -> tuple[int, dict[str, Any]] | None:
            return None if complete or "continue" not in request.query else (410, {"reason": "Expired"})

        follow.kube.on_request("GET", "/api/v1/pods", later_pages)
        for number in range(PAGE + 1):
            follow.put(f"web-{number}")
        await follow.settled()
        follow.kube.compact()
        follow.kube.drop_watches()
        await until(lambda: len(follow.errors) >= 2)
        assert len(follow.index.nodes) == PAGE + 2
        complete.append(True)
        await until(lambda: follow.reflector.state.relists == 2)


async def test_a_dropped_watch_goes_on_from_its_version() -> None:
    """A cut connection costs no list."""
    async with followed() as follow:
        follow.put("a")
        await follow.settled()
        await until(lambda: follow.kube.watching == 1)
        follow.kube.drop_watches()
        follow.put("b")
        await follow.settled()
        assert follow.reflector.state.relists == 1


async def test_a_frozen_watch_is_found() -> None:
    """A watch that stays open and says nothing is asked anew after `idle_seconds`."""
    async with followed(idle_seconds=0.05) as follow:
        await until(lambda: follow.kube.watching == 1)
        follow.kube.freeze_watches()
        follow.put("a")
        await follow.settled()
        assert follow.reflector.state.silences >= 1


async def test_a_lost_event_is_made_good() -> None:
    """What a watch that is in order otherwise did not tell, the next regular list does."""
    async with followed(idle_seconds=0.05, relist_seconds=0.1) as follow:
        follow.put("a", "1")
        await follow.settled()
        pods = follow.kube.store.collection("/api/v1/pods").objects
        [lost] = pods.values()
        lost["spec"]["nodeName"] = "2"
        await follow.settled()
        assert follow.index.nodes == {"a": "2"}


async def test_a_list_that_fails_does_not_hold_up_the_watch() -> None:
    """When a regular list is refused, what the watch tells counts on."""
    async with followed(idle_seconds=0.05, relist_seconds=0.1) as follow:
        await follow.settled()
        refused = (429, {"reason": "TooManyRequests"})
        follow.kube.on_request("GET", "/api/v1/pods", lambda asked: None if "watch" in asked.query else refused)
        await until(lambda: follow.errors)
        follow.put("a")
        await follow.settled()


async def test_one_broken_object_does_not_hide_others() -> None:
    """An object whose fields have impossible types is left out, told and counted."""
    async with followed() as follow:
        await follow.settled()
        broken: dict[str, Any] = pod("ns", "broken")
        follow.kube.put({**broken, "spec": {"nodeName": 7}})
        follow.put("a")
        await until(lambda: "a" in follow.index.nodes)
        assert (follow.index.nodes, len(follow.errors)) == ({"a": "1"}, 1)


async def test_a_broken_object_can_be_deleted() -> None:
    """An object that became malformed after it was taken leaves the index when it is deleted, the count is right."""
    async with followed() as follow:
        follow.put("a")
        follow.put("b")
        await follow.settled()
        follow.kube.put({**pod("ns", "a"), "spec": {"nodeName": 7}})
        follow.kube.delete(pod("ns", "a"))
        await follow.settled()
        assert (follow.reflector.state.malformed, follow.reflector.state.objects) == (1, 1)


async def test_refusals_are_tried_again() -> None:
    """A server that answers 500 for a while is told by `on_error` and asked again."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        answers: list[tuple[int, dict[str, Any]]] = [(500, {"reason": "InternalError", "message": "etcd"})] * 3
        kube.on_request("GET", "/api/v1/pods", lambda _: answers.pop() if answers else None)
        follow = Followed(kube, api, 30)
        task = tasks.create_task(follow.reflector.run())
        follow.put("a")
        await follow.settled()
        task.cancel()
        assert len(follow.errors) == 3


async def test_a_kind_that_is_installed_later() -> None:
    """An optional kind has no objects while the server does not know it; then those there are, and none again."""
    known = False

    def crd(_: Recorded) -> tuple[int, Any] | None:
        return None if known else (404, {"reason": "NotFound", "message": "the server could not find it"})

    async with followed(idle_seconds=0.1, optional=True) as cluster:
        cluster.kube.on_request("GET", "/api/v1/pods", crd)
        await until(cluster.reflector.state.synced.is_set)
        assert cluster.index.nodes == {}
        cluster.put("web-1")
        known = True
        await cluster.settled()
        known = False
        await until(lambda: not cluster.index.nodes)
        assert (cluster.errors, cluster.reflector.state.failures) == ([], 0)


DEEP = msgspec.Raw(b'{"a":' * 10_000 + b"1" + b"}" * 10_000)


def too_deep(name: str) -> dict[str, Any]:
    """A pod that the API server stores as it does any other, for ever."""
    obj = pod("ns", name)
    return {**obj, "metadata": {**obj["metadata"], "managedFields": [{"fieldsV1": DEEP}]}}


async def test_an_object_that_nests_too_deep_does_not_hide_others_of_its_page() -> None:
    """It stays on the server: every list is taken, without it, and it is counted; later objects come by the watch."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        for obj in (pod("ns", "a", node="1"), too_deep("bad"), pod("ns", "b", node="1")):
            kube.put(obj)
        follow = Followed(kube, api, 30)
        task = tasks.create_task(follow.reflector.run())
        await until(lambda: follow.index.nodes == {"a": "1", "b": "1"})
        kube.compact()
        follow.put("c")
        await until(lambda: follow.index.nodes == {"a": "1", "b": "1", "c": "1"})
        task.cancel()
        state = follow.reflector.state
        assert (state.relists, state.malformed, state.objects, state.failures) == (2, 2, 4, 0)
        assert "one of /api/v1/pods nests more than 500 deep" in str(follow.errors[0])


async def test_an_event_of_an_object_that_nests_too_deep_is_told_once() -> None:
    """The watch goes on behind it, without a list; that the object is deleted is seen."""
    async with followed() as follow:
        await follow.settled()
        follow.kube.put(too_deep("bad"))
        follow.put("a")
        await until(lambda: follow.index.nodes == {"a": "1"})
        follow.kube.put(pod("ns", "bad", node="1"))
        follow.put("bad")
        await until(lambda: follow.index.nodes == {"a": "1", "bad": "1"})
        follow.kube.put(too_deep("bad"))
        follow.kube.delete(pod("ns", "bad"))
        await until(lambda: follow.index.nodes == {"a": "1"})
        state = follow.reflector.state
        assert (state.relists, state.malformed, state.objects, state.failures) == (1, 2, 1, 0)


async def test_a_watch_that_cannot_be_read_is_listed_anew() -> None:
    """What stands in the way of the watch for ever, a list passes."""
    async with followed() as follow:
        await follow.settled()
        garbage = [msgspec.Raw(b'{"type":"ADDED","object":{"metadata":7}}\n')] * 3
        follow.kube.on_request(
            "GET", "/api/v1/pods", lambda asked: garbage.pop() if garbage and "watch" in asked.query else None
        )
        follow.kube.drop_watches()
        await until(lambda: not garbage)
        follow.put("a")
        await until(lambda: follow.index.nodes == {"a": "1"})
        state = follow.reflector.state
        assert (state.relists, state.failures) == (4, 4)


async def test_what_is_no_utf_8_is_left_out() -> None:
    """Bytes that no text has, in a list and in an event: the object is told and counted, others are taken."""
    broken = msgspec.Raw(b'{"metadata": {"name": "broken", "uid": "\xff"}}')
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        answers: list[bytes] = [
            msgspec.json.encode({"metadata": {"resourceVersion": "1"}, "items": [broken]}),
            msgspec.json.encode({"type": "ADDED", "object": broken}),
        ]
        kube.on_request("GET", "/api/v1/pods", lambda _: msgspec.Raw(answers.pop(0)) if answers else None)
        follow = Followed(kube, api, 30)
        task = tasks.create_task(follow.reflector.run())
        follow.put("a")
        await follow.settled()
        task.cancel()
        assert follow.reflector.state.malformed == 2


def test_a_silent_watch_is_repaired_within_a_minute() -> None:
    """By what a Reflector does unasked, and the pause if the next attempt fails at once."""
    silent: float = inspect.signature(Reflector).parameters["idle_seconds"].default
    assert silent + max(pause(1) for _ in range(100)) <= 60


@pytest.mark.parametrize(("attempt", "longest"), [(1, 0.2), (5, 3.2), (9, 30), (10_000, 30)])
def test_pauses_double_up_to_half_a_minute(attempt: int, longest: float) -> None:
    """However long the server is away: days of attempts change nothing any more."""
    assert longest / 2 <= pause(attempt) <= longest


async def test_selectors_reach_the_server() -> None:
    """Objects that no longer match leave the index."""
    async with followed(label_selector="app=web") as follow:
        follow.kube.put(pod("ns", "a", labels={"app": "web"}))
        await until(lambda: "a" in follow.index.nodes)
        follow.kube.put(pod("ns", "a", labels={"app": "db"}))
        await until(lambda: not follow.index.nodes)


async def test_metrics_of_a_watch() -> None:
    """Each kind tells its objects, relists, age and what befell it."""
    async with followed() as follow:
        follow.put("a")
        await follow.settled()
        follow.kube.compact()
        await until(lambda: follow.reflector.state.relists == 2)
        registry = CollectorRegistry()
        registry.register(WatchCollector("weft_x", {"pods": follow.reflector.state}))
        told = {
            sample.name.removeprefix("weft_x_watch_"): sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.labels == {"kind": "pods"}
        }
        assert 0 < told.pop("last_event_age_seconds") < 5
        assert told == {
            "events_total": 0,
            "relists_total": 2,
            "failures_total": 0,
            "silences_total": 0,
            "malformed_total": 0,
            "objects": 1,
            "synced": 1,
        }


Step = Callable[[Followed], object]
names = st.sampled_from(["a", "b", "c"])
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(lambda name, node: lambda f: f.put(name, node), names, st.sampled_from(["1", "2"])),
    st.builds(lambda name: lambda f: name in f.truth() and f.kube.delete(pod("ns", name)), names),
    st.just(lambda f: f.kube.drop_watches()),
    st.just(lambda f: f.kube.freeze_watches()),
    st.just(lambda f: f.kube.compact()),
    st.just(lambda f: f.kube.bookmark()),
)
pauses = st.integers(min_value=0, max_value=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(steps, pauses), max_size=25))
def test_any_history_ends_equal_to_the_final_list(history: list[tuple[Step, int]]) -> None:
    """Any order of changes, drops, freezes, bookmarks and compactions ends with the index equal to the cluster."""

    async def play() -> None:
        async with followed(idle_seconds=0.05) as follow:
            for step, pause in history:
                step(follow)
                for _ in range(pause):
                    await asyncio.sleep(0)
            await follow.settled()

    asyncio.run(play())
