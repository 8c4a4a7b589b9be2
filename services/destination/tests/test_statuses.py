"""Statuses in the cluster: what the compiled routes say, on every parent, and nothing of anybody else's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from weft_destination import statuses, translate
from weft_destination.gateway import read
from weft_destination.index import Index
from weft_destination.reports import Seen, Subject
from weft_destination.statuses import Statuses
from weft_destination.watches import reflectors
from weft_kube import objects
from weft_kube.api import KubeApi
from weft_testkit.fake_kube import FakeKube, Recorded
from weft_testkit.objects import custom, endpoint, endpoint_slice, pod, service
from weft_testkit.wait import until

Json = dict[str, Any]
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/r"
PROFILE = "/apis/weft.dev/v1alpha1/namespaces/shop/serviceprofiles/web"
WEB = {"group": "", "kind": "Service", "namespace": "shop", "name": "web"}
OTHERS = {"parentRef": {"name": "gate"}, "controllerName": "example.com/gate", "conditions": []}
SOUND = {"backendRefs": [{"name": "web", "port": 80}]}


def route(*rules: Json, generation: int = 1, parents: list[Json] | None = None, status: Any = None) -> Json:
    """HTTPRoute r in shop."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "r", "namespace": "shop", "generation": generation},
        "spec": {"parentRefs": parents or [WEB], "rules": list(rules)},
        **({"status": status} if status else {}),
    }


@asynccontextmanager
async def cluster(*objects: Json) -> AsyncIterator[FakeKube]:
    """A cluster whose statuses are written."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        for obj in (service("shop", "web", "10.96.0.1"), *objects):
            kube.put(obj)
        index = Index()
        watches = reflectors(api, index, lambda: None, "cluster.local")
        running = [tasks.create_task(reflector.run()) for reflector in watches.values()]
        for reflector in watches.values():
            await reflector.state.synced.wait()
        running.append(tasks.create_task(Statuses(api, index.reports).run()))
        yield kube
        for task in running:
            task.cancel()


def conditions(kube: FakeKube, which: int = 0) -> dict[str, tuple[str, str, int]]:
    """Status, reason and generation of each condition of a parent of the route."""
    parents = kube.get(ROUTE).get("status", {}).get("parents", [])
    held = parents[which]["conditions"] if len(parents) > which else []
    return {one["type"]: (one["status"], one["reason"], one["observedGeneration"]) for one in held}


async def test_every_parent_has_its_conditions() -> None:
    """Services that exist accept the route, others do not, nor what was meant to be one; parents of other kinds are
    none of ours."""
    gate = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gate"}
    ours = [WEB | {"port": 80}, WEB | {"name": "none"}, WEB | {"group": "gateway.networking.k8s.io"}]
    async with cluster(route(SOUND, parents=[*ours, gate])) as kube:
        await until(lambda: conditions(kube, 2))
        parents = kube.get(ROUTE)["status"]["parents"]
        assert [one["parentRef"] for one in parents] == ours
        assert {one["controllerName"] for one in parents} == {"weft.dev/mesh"}
        assert conditions(kube)["Accepted"] == ("True", "Accepted", 1)
        assert conditions(kube, 1)["Accepted"] == ("False", "NoMatchingParent", 1)
        assert conditions(kube, 2)["Accepted"] == ("False", "NoMatchingParent", 1)
        assert parents[0]["conditions"][0]["lastTransitionTime"]


async def test_a_pod_that_hides_requests_is_told() -> None:
    """Its annotation makes a port opaque, so that an attached route does nothing there, nor does the Service's profile:
    said in whichever order pod, slice and route come, and no more when the pod is gone."""
    opaque = pod(
        "shop", "web-1", "10.0.0.1", annotations={"config.weft.dev/opaque-ports": "8080"}, owner=("Job", "web")
    )
    behind = endpoint_slice("shop", "web-a", "web", [endpoint("10.0.0.1", "web-1", "shop")])

    profile = custom("ServiceProfile", "shop", "alone", {"routes": []})
    alone = endpoint_slice("shop", "alone-a", "alone", [endpoint("10.0.0.1", "web-1", "shop")])

    def messages(kube: FakeKube) -> tuple[str, str]:
        [parent] = kube.get(ROUTE).get("status", {}).get("parents") or [{"conditions": [{}]}]
        held = kube.get(PROFILE.replace("/web", "/alone")).get("status", {}).get("conditions") or [{"message": ""}]
        return str(parent["conditions"][0].get("message")), held[0]["message"]

    told = "port 80 is opaque by an annotation of job/web's pods: no requests are seen there"
    async with cluster(route(SOUND), service("shop", "alone", "10.96.0.8"), profile, opaque) as kube:
        await until(lambda: messages(kube) == ("", ""))
        kube.put(behind)
        kube.put(alone)
        await until(lambda: messages(kube) == (told, told))
        kube.delete(opaque)
        await until(lambda: messages(kube) == ("", ""))
        kube.put(opaque)
        await until(lambda: messages(kube) == (told, told))


def test_who_does_not_write_keeps_no_list() -> None:
    """Of what may be out of date, in the meantime; who begins to write looks at everything."""
    index = Index()
    told = Subject("HTTPRoute", ("shop", "r"))
    index.reports.note(told, Seen("1", 1, {}))
    index.services.apply(translate.service(kube_service(retries="3")))
    index.gateway.http_routes.apply(read.http_route(msgspec.convert(route(SOUND), objects.GatewayRoute)))
    index.reports.forget()
    assert (index.reports.take_stale(), index.reports.take_faulty()) == ([], [])
    index.reports.all()
    assert (index.reports.take_stale(), [one.key for one in index.reports.take_faulty()]) == ([told], [("shop", "web")])


def kube_service(**annotations: str) -> objects.Service:
    """Service web of shop."""
    named = {f"config.weft.dev/{name}": value for name, value in annotations.items()}
    return msgspec.convert(service("shop", "web", "10.96.0.1", annotations=named), objects.Service)


async def test_only_changes_are_written() -> None:
    """A status that holds is left alone; times of transition stay while the status does."""
    async with cluster(route(SOUND)) as kube:
        await until(lambda: conditions(kube))
        first = kube.get(ROUTE)["status"]["parents"][0]["conditions"]
        kube.put(service("shop", "another", "10.96.0.2"))
        kube.put(route({"backendRefs": [{"name": "none", "port": 80}]}, generation=2, status=kube.get(ROUTE)["status"]))
        await until(lambda: conditions(kube)["ResolvedRefs"][2] == 2)
        accepted, resolved = kube.get(ROUTE)["status"]["parents"][0]["conditions"]
        assert (resolved["status"], resolved["reason"]) == ("False", "BackendNotFound")
        assert accepted["lastTransitionTime"] == first[0]["lastTransitionTime"]
        assert len(kube.writes()) == 2


async def test_entries_of_other_controllers_stay() -> None:
    """Only ours are written, beside theirs; and taken away when the route names no Service any more."""
    async with cluster(route(SOUND, status={"parents": [OTHERS]})) as kube:
        await until(lambda: conditions(kube, 1))
        assert kube.get(ROUTE)["status"]["parents"][0] == OTHERS
        kube.put(route(SOUND, parents=[{"name": "gate"}], generation=2, status=kube.get(ROUTE)["status"]))
        await until(lambda: kube.get(ROUTE)["status"]["parents"] == [OTHERS])


async def test_a_newer_object_is_not_set_back() -> None:
    """A write to a version that is old by now is refused, and made again from the new one."""
    async with cluster() as kube:
        refused = 0

        def stale(_: Recorded) -> tuple[int, Json] | None:
            nonlocal refused
            refused += 1
            return (409, {"reason": "Conflict", "message": "modified"}) if refused == 1 else None

        kube.on_request("PATCH", f"{ROUTE}/status", stale)
        kube.put(route(SOUND))
        await until(lambda: conditions(kube))
        versions = [one.body["metadata"]["resourceVersion"] for one in kube.writes()]
        assert len(versions) == 2


async def test_a_fight_over_a_status_slows_down() -> None:
    """What somebody else writes over again and again is written ever more rarely."""
    async with cluster(route(SOUND)) as kube:
        for _ in range(2):
            await until(lambda: conditions(kube))
            kube.put(route(SOUND))
        another = route(SOUND)
        another["metadata"]["name"] = "another"
        kube.put(another)
        await until(lambda: "status" in kube.get(ROUTE[:-1] + "another"))
        assert [one.path for one in kube.writes()].count(f"{ROUTE}/status") == 2


async def test_a_profile_that_a_route_replaces_says_so() -> None:
    """Shadowed, with the route's name; no more when the route is gone. A profile without is left alone."""
    rest = {"routes": [{"name": "all", "condition": {"pathRegex": ".*"}}]}
    async with cluster(custom("ServiceProfile", "shop", "web", rest), route(SOUND)) as kube:

        def shadowed() -> Any:
            held = kube.get(PROFILE).get("status", {}).get("conditions", [{}])[0]
            return held.get("status"), held.get("message")

        await until(lambda: shadowed() == ("True", "port 80 is held by HTTPRoute shop/r"))
        kube.delete(route())
        await until(lambda: shadowed() == ("False", ""))
    async with cluster(custom("ServiceProfile", "shop", "web", rest)) as kube:
        kube.put(route(SOUND, parents=[WEB | {"name": "none"}]))
        await until(lambda: conditions(kube))
        assert "status" not in kube.get(PROFILE)


async def test_a_profile_that_holds_nothing_says_so() -> None:
    """For want of a Service of its name, or of requests to it, or for its faults where sp-validator was not asked; and
    when that is over."""
    lost = custom("ServiceProfile", "shop", "wed", {"routes": [{"name": "all", "condition": {"pathRegex": "("}}]})
    path = PROFILE[:-1] + "d"
    async with cluster(lost) as kube:

        def accepted() -> tuple[str, str, str]:
            held = kube.get(path).get("status", {}).get("conditions", [{}])[0]
            return held.get("status", ""), held.get("reason", ""), held.get("message", "")[:38]

        await until(lambda: accepted() == ("False", "Invalid", "spec.routes[0].condition.pathRegex '('"))
        sound = custom("ServiceProfile", "shop", "wed", {"routes": []})
        kube.put(sound | {"metadata": sound["metadata"] | {"generation": 2}, "status": kube.get(path)["status"]})
        await until(lambda: accepted() == ("False", "NoService", "there is no Service shop/wed"))
        kube.put(service("shop", "wed"))
        await until(lambda: accepted() == ("False", "NoRequests", "Service shop/wed is headless: there is"))
        kube.put(service("shop", "wed", "10.96.0.9", ports=[{"name": "redis", "port": 80}]))
        await until(lambda: accepted() == ("False", "NoRequests", "port 80 of Service shop/wed is opaque:"))
        kube.put(service("shop", "wed", "10.96.0.9"))
        await until(lambda: accepted() == ("True", "Accepted", ""))


POLICY = "/apis/weft.dev/v1alpha1/namespaces/shop/accesspolicies/menu"


def stated(kube: FakeKube) -> tuple[int | None, dict[str, str]]:
    """Pods and the reason of each condition of policy `menu`."""
    status = kube.get(POLICY).get("status", {})
    return status.get("pods"), {one["type"]: one["reason"] for one in status.get("conditions", [])}


async def test_a_policy_says_how_many_pods_it_is_about() -> None:
    """Also when they come later, as an account that it names does, or its proxy."""
    who = {"serviceAccount": {"name": "cart", "namespace": "dev"}}
    policy = custom("AccessPolicy", "shop", "menu", {"rules": [{"from": [who]}]})
    resolved = {"Accepted": "Accepted", "Resolved": "Resolved", "Shadowed": "NotShadowed"}
    labels = {"weft.dev/proxy-version": "0.1.0"}
    async with cluster(policy) as kube:
        await until(lambda: stated(kube) == (0, resolved | {"Resolved": "NoPods"}))
        kube.put(pod("shop", "menu-1", "10.0.0.1", labels=labels))
        await until(lambda: stated(kube) == (1, resolved | {"Resolved": "UnknownAccount"}))
        kube.put(pod("dev", "cart-1", "10.0.0.2", service_account="cart"))
        await until(lambda: stated(kube) == (1, resolved | {"Resolved": "NoIdentity"}))
        kube.put(pod("dev", "cart-2", "10.0.0.3", service_account="cart", labels=labels))
        await until(lambda: stated(kube) == (1, resolved))
        kube.put(custom("AccessPolicy", "shop", "menu", {"rules": []}))
        await until(lambda: stated(kube) == (0, {"Accepted": "Invalid"}))


def put(kube: FakeKube, **annotations: str) -> Json:
    """Service web of shop is so now."""
    named = {f"config.weft.dev/{name}": value for name, value in annotations.items()}
    return kube.put(service("shop", "web", "10.96.0.1", annotations=named))


async def test_faulty_annotations_are_told() -> None:
    """By an Event on the Service, once; and again when they are others."""
    async with cluster() as kube:
        events = kube.store.collection("/api/v1/events").objects
        uid = put(kube, retries="3")["metadata"]["uid"]
        await until(lambda: len(events) == 1)
        put(kube, retries="3", other="x")
        await until(lambda: len(events) == 2)
        put(kube, retries="3")
        put(kube)
        put(kube, retries="4", color="red", size="7")
        await until(lambda: len(events) == 3)
        first = next(iter(events.values()))
        about = first["involvedObject"]
        assert (first["type"], first["reason"], about["name"], about["uid"]) == (
            "Warning",
            "FaultyAnnotation",
            "web",
            uid,
        )
        assert first["message"].startswith("annotation config.weft.dev/retries: a Service has no such setting")


async def test_a_fault_is_told_as_long_as_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server forgets Events, and is away at times; while it has one, there is no second. A Service made anew is
    another."""
    monkeypatch.setattr(statuses, "FAILED_SECONDS", 0.01)
    monkeypatch.setattr(statuses, "RETELL_SECONDS", 0.01)
    refused = 0

    def away(_: Recorded) -> tuple[int, Json] | None:
        nonlocal refused
        refused += 1
        return (503, {"reason": "ServiceUnavailable", "message": "etcd"}) if refused < 3 else None

    async with cluster() as kube:
        kube.on_request("POST", "/api/v1/namespaces/shop/events", away)
        events = kube.store.collection("/api/v1/events").objects
        web = put(kube, retries="3")
        await until(lambda: len(events) == 1)
        kube.delete(next(iter(events.values())))
        await until(lambda: len(events) == 1)
        asked = refused
        await until(lambda: refused > asked + 1)
        assert len(events) == 1
        kube.delete(web)
        put(kube, retries="3")
        await until(lambda: len(events) == 2)


async def test_an_event_that_is_refused_hinders_no_other() -> None:
    """As in a namespace that is being deleted."""
    async with cluster() as kube:
        refused = (403, {"reason": "Forbidden", "message": "because it is being terminated"})
        kube.on_request("POST", "/api/v1/namespaces/shop/events", lambda _: refused)
        put(kube, retries="3")
        kube.put(service("dev", "web", "10.96.0.2", annotations={"config.weft.dev/retries": "3"}))
        await until(lambda: len(kube.store.collection("/api/v1/events").objects) == 1)
