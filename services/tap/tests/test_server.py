"""The aggregated API as the API server calls it."""

import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from weft_api.tap.v1 import tap_pb2
from weft_pki.issue import new_anchor
from weft_testkit.objects import pod
from weft_testkit.wait import until

ROOT = "/apis/tap.weft.dev/v1alpha1"
TAP = f"{ROOT}/watch/namespaces/shop/deployments/web/tap"
EVENT = tap_pb2.Event(id=7, method="GET", path="/x", status=200, direction="DIRECTION_INBOUND", result="RESULT_SUCCESS")


def web_pod(name: str, ip: str, **more: Any) -> dict[str, Any]:
    """A meshed pod of Deployment shop/web."""
    labels = {"weft.dev/proxy-version": "0.1.0", "pod-template-hash": "5d4"}
    return pod("shop", name, ip, labels=labels, owner=("ReplicaSet", "web-5d4"), service_account="web", **more)


async def lines(response: aiohttp.ClientResponse, count: int) -> list[dict[str, Any]]:
    """The next so many lines."""
    return [json.loads(await response.content.readline()) for _ in range(count)]


async def test_a_tap_streams_the_events_of_the_workloads_proxies(lab: Any) -> None:
    """First whom it listens to, then each event with its pod; the proxy was reached by its identity."""
    await lab.has(web_pod("web-1", "10.1.2.3"))
    await lab.has(
        pod("shop", "web-2", "10.1.2.4", labels={"pod-template-hash": "5d4"}, owner=("ReplicaSet", "web-5d4"))
    )
    lab.proxy.events.put_nowait(EVENT)
    async with (
        lab.session() as session,
        session.get(TAP, params={"path": "/x", "limit": "1", "replay": "9"}) as response,
    ):
        status, event = await lines(response, 2)
        assert await response.content.read() == b""
    assert status == {"status": {"pods": 1, "unmeshed": 1, "failing": {}}}
    assert (event["pod"], event["namespace"], event["path"], event["direction"], event["result"], event["id"]) == (
        "web-1",
        "shop",
        "/x",
        "inbound",
        "success",
        7,
    )
    assert lab.tunnel.authorities == ["10-1-2-3.shop.web.pod.weft:4190"]
    asked = lab.proxy.asked[0]
    assert (asked.match.path_prefix, asked.limit, asked.replay) == ("/x", 1, 9)


async def test_the_review_asks_for_the_subresource_and_names_the_caller(lab: Any) -> None:
    """verb watch on deployments/tap of the API group, for the user the API server named."""
    await lab.has(web_pod("web-1", "10.1.2.3"))
    lab.proxy.events.put_nowait(EVENT)
    async with lab.session() as session, session.get(TAP, params={"limit": "1"}) as response:
        await response.read()
    assert lab.reviews[0] == {
        "user": "jane",
        "groups": ["devs"],
        "extra": {},
        "resourceAttributes": {
            "verb": "watch",
            "group": "tap.weft.dev",
            "version": "v1alpha1",
            "resource": "deployments",
            "subresource": "tap",
            "namespace": "shop",
            "name": "web",
        },
    }


async def test_without_the_right_the_answer_says_what_would_grant_it(lab: Any) -> None:
    """403 as a Status, with the command."""
    lab.allowed = False
    async with lab.session() as session, session.get(TAP) as response:
        status = await response.json()
    assert (response.status, status["reason"]) == (403, "Forbidden")
    assert "kubectl create rolebinding weft-tap -n shop --clusterrole=weft-tap-viewer --user=jane" in status["message"]


async def test_a_review_that_cannot_be_read_lets_nobody_in(lab: Any) -> None:
    """503 and a Status object, as when the API server cannot be asked."""
    lab.kube.on_request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", lambda _: {"status": 7})
    async with lab.session() as session, session.get(TAP) as response:
        assert (response.status, (await response.json())["code"]) == (503, 503)


@pytest.mark.parametrize("name", [None, "somebody-else"])
async def test_callers_are_believed_only_over_the_api_servers_certificate(lab: Any, name: str | None) -> None:
    """401 without a client certificate, and with one of another name; RBAC is not even asked."""
    async with lab.session(name) as session, session.get(TAP) as response:
        assert response.status == 401
    assert lab.reviews == []


async def test_a_certificate_by_another_authority_is_refused(lab: Any) -> None:
    """The handshake, or the first read after it, fails."""
    other = new_anchor(datetime.now(UTC), name="another CA")
    async with lab.session(signer=other) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(TAP)


@pytest.mark.parametrize(
    ("path", "code", "part"),
    [
        (f"{TAP}?status=often", 400, "'status': 'often'"),
        (f"{ROOT}/watch/namespaces/shop/deployments/nobody/tap", 404, "no running pod belongs to deployment 'nobody'"),
        (f"{ROOT}/watch/namespaces/shop/potatoes/web/tap", 404, "unknown kind 'potatoes'"),
        (f"{ROOT}/watch/namespaces/shop/services/web/tap", 400, "a Service has no proxy"),
        ("/apis/other", 404, "Not Found: /apis/other"),
    ],
)
async def test_faults_are_status_objects(lab: Any, path: str, code: int, part: str) -> None:
    """Code, reason and a message that names what is wrong."""
    async with lab.session() as session, session.get(path) as response:
        status = await response.json()
    assert (response.status, status["kind"], status["code"]) == (code, "Status", code)
    assert part in status["message"]


async def test_discovery_needs_no_certificate(lab: Any) -> None:
    """The API server's availability check names no user."""
    async with lab.session(None) as session, session.get(ROOT) as response:
        document = await response.json()
    assert document["kind"] == "APIResourceList"
    assert {"name": "deployments/tap", "singularName": "", "namespaced": True, "kind": "Tap", "verbs": ["watch"]} in (
        document["resources"]
    )


async def test_pods_that_come_and_go_are_followed(lab: Any) -> None:
    """A tap opens a stream to a new pod and closes that of one that is gone."""
    await lab.has(web_pod("web-1", "10.1.2.3"))
    async with lab.session() as session, session.get(TAP) as response:
        assert (await lines(response, 1))[0]["status"]["pods"] == 1
        lab.kube.put(web_pod("web-2", "10.1.2.4"))
        assert (await lines(response, 1))[0]["status"]["pods"] == 2
        await until(lambda: lab.proxy.open == 2)
        lab.kube.delete(web_pod("web-1", "10.1.2.3"))
        assert (await lines(response, 1))[0]["status"]["pods"] == 1
        await until(lambda: lab.proxy.open == 1)


async def test_a_client_that_leaves_ends_every_stream(lab: Any) -> None:
    """Also while nothing happens."""
    await lab.has(web_pod("web-1", "10.1.2.3"))
    async with lab.session() as session:
        response = await session.get(TAP)
        await until(lambda: lab.proxy.open == 1)
        response.close()
    await until(lambda: lab.proxy.open == 0)


async def test_a_proxy_that_cannot_be_reached_is_named(lab: Any) -> None:
    """The status line says which pod fails and why; the tap goes on."""
    await lab.has(web_pod("web-1", "10.1.2.3"))
    lab.tunnel.refuse = True
    async with lab.session() as session, session.get(TAP) as response:
        await lines(response, 1)
        failing = (await lines(response, 1))[0]["status"]["failing"]
        assert failing["web-1"].startswith("UNAVAILABLE")
        lab.tunnel.refuse = False
        lab.proxy.events.put_nowait(EVENT)
        recovered, event = await lines(response, 2)
    assert (recovered["status"]["failing"], event["pod"]) == ({}, "web-1")


@pytest.mark.parametrize(
    ("message", "reason"),
    [(b"\xff" * 20, "what it sends is no event"), (bytes(2**18 + 1), "RESOURCE_EXHAUSTED")],
    ids=["garbage", "too large"],
)
async def test_a_proxy_that_sends_no_events_is_named(lab: Any, message: bytes, reason: str) -> None:
    """It is asked again; nobody else loses the tap for it."""
    await lab.has(web_pod("web-1", "10.1.2.3"))
    lab.proxy.events.put_nowait(message)
    async with lab.session() as session, session.get(TAP) as response:
        await lines(response, 1)
        failing = (await lines(response, 1))[0]["status"]["failing"]
        assert failing["web-1"].startswith(reason)
        await until(lambda: (len(lab.proxy.asked), lab.proxy.open) == (2, 1))
        lab.proxy.events.put_nowait(EVENT)
        recovered, event = await lines(response, 2)
    assert (recovered["status"]["failing"], event["pod"]) == ({}, "web-1")
