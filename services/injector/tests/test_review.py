"""Reviews as the API server sends them, with a Kubernetes API behind: answers, Events, metrics."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry
from weft_injector import events
from weft_injector.app import PATH
from weft_injector.events import KEPT, Recorder
from weft_injector.metrics import Metrics
from weft_injector.owners import Owners
from weft_injector.review import Reviewer
from weft_kube.api import KubeApi
from weft_kube.objects import Meta
from weft_sidecar.template import Template
from weft_testkit.fake_kube import FakeKube
from weft_testkit.listen import asking
from weft_testkit.wait import until
from weft_webhook.server import MAX_BODY, webhook_routes

Json = dict[str, Any]
EVENTS = "/api/v1/namespaces/shop/events"


@dataclass
class Injector:
    """A running webhook and what is around it."""

    kube: FakeKube
    registry: CollectorRegistry
    client: ClientSession
    known: dict[str, Meta]
    """What the watch has seen."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    async def review(self, pod: Json, *, dry_run: bool = False) -> Json:
        request = {"uid": "r1", "operation": "CREATE", "namespace": "shop", "object": pod, "dryRun": dry_run}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        answer = await self.client.post(PATH, json=body)
        response: Json = (await answer.json())["response"]
        return response

    async def events(self, number: int) -> list[Json]:
        """The Events written, once there are so many."""
        await until(lambda: len(self._written()) >= number)
        return self._written()

    def _written(self) -> list[Json]:
        return [request.body for request in self.kube.writes() if request.path == EVENTS]

    def told(self, outcome: str) -> float:
        return self.registry.get_sample_value("weft_injector_events_total", {"outcome": outcome}) or 0.0

    def reviews(self, outcome: str, reason: str = "") -> float:
        labels = {"outcome": outcome, "reason": reason}
        return self.registry.get_sample_value("weft_injector_reviews_total", labels) or 0.0


@pytest.fixture
async def injector(template: Template) -> AsyncIterator[Injector]:
    """Namespace shop has the label and an annotation."""
    namespace = Meta(
        "shop", labels={"weft.dev/inject": "enabled"}, annotations={"config.weft.dev/proxy-log-level": "debug"}
    )
    known = {"shop": namespace}

    async def fetch(_: str) -> Meta:
        return namespace

    registry = CollectorRegistry()
    metrics = Metrics(registry)
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        owners = Owners(api)
        recorder = Recorder(api, owners, metrics, lambda: running.now)
        reviewer = Reviewer(template, owners, recorder, metrics, known=known.get, fetch=fetch)
        writing = tasks.create_task(recorder.run())
        routes = webhook_routes(PATH, reviewer.review, fail_open=True)
        async with asking(routes, MAX_BODY) as client:
            running = Injector(kube, registry, client, known)
            yield running
        writing.cancel()


def replica_set(name: str, deployment: str) -> Json:
    """A ReplicaSet of a Deployment."""
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment, "uid": "d-1", "controller": True}
    metadata = {"name": name, "namespace": "shop", "uid": "rs-1", "ownerReferences": [owner]}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata}


async def test_a_pod_gets_its_patch(injector: Injector, deployment_pod: Json) -> None:
    """In a namespace with the label, with the namespace's options."""
    response = await injector.review(deployment_pod)

    operations = msgspec.json.decode(base64.b64decode(response["patch"]))
    assert response["allowed"] is True
    assert {
        "op": "add",
        "path": "/metadata/annotations/config.weft.dev~1proxy-log-level",
        "value": "debug",
    } in operations
    assert injector.reviews("injected") == 1


@pytest.mark.parametrize("known", [{}, {"shop": Meta("shop")}, {"shop": Meta("shop", labels={"other": "label"})}])
async def test_a_watch_that_is_behind_hides_no_pod(
    injector: Injector, deployment_pod: Json, known: dict[str, Meta]
) -> None:
    """The API server sends pods of labelled namespaces only: label and options are then read from it."""
    injector.known.clear()
    injector.known.update(known)

    response = await injector.review(deployment_pod)

    assert b'"debug"' in base64.b64decode(response["patch"])
    assert injector.reviews("injected") == 1


async def test_the_event_is_the_deployments(injector: Injector, deployment_pod: Json) -> None:
    """`kubectl describe deploy` shows it: kind, name and uid are the Deployment's."""
    injector.kube.put(replica_set("web-5d4f8c7b9", "web"))

    await injector.review(deployment_pod)

    (event,) = await injector.events(1)
    assert event["reason"] == "Injected"
    assert event["involvedObject"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "web",
        "namespace": "shop",
        "uid": "d-1",
    }


async def test_pods_of_one_rollout_have_one_event(injector: Injector, deployment_pod: Json, bare_pod: Json) -> None:
    """A thousand replicas do not make a thousand Events."""
    injector.kube.put(replica_set("web-5d4f8c7b9", "web"))

    for pod in (deployment_pod, deployment_pod, bare_pod):
        await injector.review(pod)

    assert [event["involvedObject"]["name"] for event in await injector.events(2)] == ["web", "shell"]


async def test_a_bare_pod_made_anew_has_its_event(injector: Injector, bare_pod: Json) -> None:
    """It has no uid when it is reviewed: another one of the same name is not the same."""
    for _ in range(2):
        await injector.review(bare_pod)

    assert [event["involvedObject"]["name"] for event in await injector.events(2)] == ["shell", "shell"]


async def test_an_event_waits_for_the_api_server(
    injector: Injector, deployment_pod: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried again after a pause; what is there all the same, from another replica say, is not written twice."""
    monkeypatch.setattr(events, "PAUSES_SECONDS", (0.0, 0.0))
    injector.kube.put(replica_set("web-5d4f8c7b9", "web"))
    away = (503, {"reason": "ServiceUnavailable", "message": "etcd"})
    tries = iter([away, None, None])
    injector.kube.on_request("POST", EVENTS, lambda _: next(tries))

    await injector.review(deployment_pod)

    (refused, written) = await injector.events(2)
    assert refused["metadata"]["name"] == written["metadata"]["name"]
    await until(lambda: injector.told("written") == 1)
    injector.now += KEPT
    await injector.review(deployment_pod)
    await until(lambda: injector.told("written") == 2)
    assert len(injector.kube.store.collection("/api/v1/events").objects) == 1


async def test_an_event_that_is_refused_is_tried_with_the_next_pod(injector: Injector, deployment_pod: Json) -> None:
    """At once, it would be refused again."""
    injector.kube.put(replica_set("web-5d4f8c7b9", "web"))
    tries = iter([(403, {"reason": "Forbidden", "message": "terminating"}), None])
    injector.kube.on_request("POST", EVENTS, lambda _: next(tries))

    await injector.review(deployment_pod)
    await until(lambda: injector.told("failed") == 1)
    await injector.review(deployment_pod)

    await until(lambda: injector.told("written") == 1)


@pytest.mark.parametrize(
    "answer", ["<html>", "[]", "{}", '{"metadata":{"ownerReferences":[{"controller":true}]}}', '{"metadata":7}']
)
async def test_an_odd_answer_of_the_api_server_stops_nothing(
    injector: Injector, deployment_pod: Json, bare_pod: Json, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """A ReplicaSet that cannot be read has no Event, which is counted; the next pod has its own."""
    monkeypatch.setattr(events, "PAUSES_SECONDS", (0.0,))
    injector.kube.on_request("GET", "/apis/apps/v1/.*", lambda _: msgspec.Raw(answer.encode()))  # type: ignore[arg-type, return-value]

    await injector.review(deployment_pod)
    await until(lambda: injector.told("failed") == 1)
    await injector.review(bare_pod)

    await until(lambda: injector.told("written") == 1)


@pytest.mark.parametrize("answer", ["<html>", '{"metadata":{"ownerReferences":[{"controller":true}]}}'])
async def test_an_odd_answer_about_a_job_leaves_its_name(injector: Injector, bare_pod: Json, answer: str) -> None:
    """The pod is let in with its proxy."""
    job = {"apiVersion": "batch/v1", "kind": "Job", "name": "audit-29000000", "uid": "j", "controller": True}
    bare_pod["metadata"]["ownerReferences"] = [job]
    injector.kube.on_request("GET", "/apis/batch/v1/.*", lambda _: msgspec.Raw(answer.encode()))  # type: ignore[arg-type, return-value]

    response = await injector.review(bare_pod)

    assert '"cronjob/audit"' in base64.b64decode(response["patch"]).decode()


async def test_what_the_api_server_will_have_forgotten_is_told_again(injector: Injector, deployment_pod: Json) -> None:
    """With the next pod, an hour after the Event; not before."""
    injector.kube.put(replica_set("web-5d4f8c7b9", "web"))
    await injector.review(deployment_pod)
    await injector.events(1)
    injector.now += KEPT / 2
    await injector.review(deployment_pod)
    injector.now += KEPT / 2
    await injector.review(deployment_pod)

    assert [event["firstTimestamp"] for event in await injector.events(2)] == [
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00:00Z",
    ]


async def test_a_skip_is_told_with_its_reason(injector: Injector, bare_pod: Json) -> None:
    """hostNetwork: the pod starts without a proxy, and an Event says why."""
    bare_pod["spec"]["hostNetwork"] = True

    response = await injector.review(bare_pod)

    (event,) = await injector.events(1)
    assert (response["allowed"], response.get("patch")) == (True, None)
    assert event["reason"] == "InjectionSkipped"
    assert event["message"] == "hostNetwork is set: redirection would change the node's own traffic"
    assert injector.reviews("skipped", "host_network") == 1


async def test_an_invalid_option_is_refused(injector: Injector, bare_pod: Json) -> None:
    """The API server hands the message to whoever made the pod."""
    bare_pod["metadata"]["annotations"] = {"config.weft.dev/opaque-ports": "web"}

    response = await injector.review(bare_pod)

    assert response["allowed"] is False
    assert response["status"]["message"] == (
        "weft: annotation config.weft.dev/opaque-ports of the pod: 'web' is neither a port nor a range of ports"
    )
    assert injector.reviews("refused") == 1


async def test_a_dry_run_leaves_no_event(injector: Injector, bare_pod: Json, deployment_pod: Json) -> None:
    """`kubectl apply --dry-run=server` changes nothing."""
    await injector.review(deployment_pod, dry_run=True)
    await injector.review(bare_pod)

    assert [event["involvedObject"]["name"] for event in await injector.events(1)] == ["shell"]


@pytest.mark.parametrize(
    ("owners", "workload"),
    [
        (
            [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "audit", "uid": "c", "controller": True}],
            "cronjob/audit",
        ),
        ([], "job/audit-29000000"),
        (None, "cronjob/audit"),
    ],
)
async def test_a_jobs_workload_is_looked_up(
    injector: Injector, bare_pod: Json, owners: list[Json] | None, workload: str
) -> None:
    """A Job's name does not prove that a CronJob made it; if the Job cannot be read, the name must do."""
    job = {"apiVersion": "batch/v1", "kind": "Job", "name": "audit-29000000", "uid": "j", "controller": True}
    bare_pod["metadata"]["ownerReferences"] = [job]
    if owners is not None:
        metadata = {"name": job["name"], "namespace": "shop", "ownerReferences": owners}
        injector.kube.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata})

    response = await injector.review(bare_pod)

    assert f'"{workload}"' in base64.b64decode(response["patch"]).decode()


@pytest.mark.parametrize(
    "pod", [{"metadata": {}}, {"metadata": {"labels": 7}}, {"spec": {"containers": [{}]}}, [], None]
)
async def test_garbage_does_not_stop_the_webhook(injector: Injector, bare_pod: Json, pod: Any) -> None:
    """A pod that is none gets an answer, and the next one its proxy."""
    await injector.review(pod)

    assert "patch" in await injector.review(bare_pod)
