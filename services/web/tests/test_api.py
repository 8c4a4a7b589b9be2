"""The public API over HTTP."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from weft_kube.workloads import label_value
from weft_pki.bundle import bundle_pem
from weft_pki.issue import new_anchor
from weft_testkit.objects import namespace, pod
from weft_web import model
from weft_web.diagnosis import LIFETIME
from weft_web.identities import ISSUER
from weft_web.openapi import OPERATIONS

WEB = {"namespace": "shop", "workload_kind": "deployment", "workload": "web"}
EDGE = {
    "namespace": "shop",
    "workload_kind": "deployment",
    "workload": "web",
    "dst_namespace": "shop",
    "dst_workload_kind": "deployment",
    "dst_workload": "db",
    "dst_service": "db",
    "peer_identity": "spiffe://cluster.local/ns/shop/sa/db",
    "tls": "true",
}


BUCKETS = {"0.01": 50, "0.1": 90, "0.2": 100, "+Inf": 100}


def deployment(name: str) -> dict[str, Any]:
    """Deployment shop/NAME."""
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "shop", "name": name}}


SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "db"}}


def web_pod(*, meshed: bool = True) -> dict[str, Any]:
    """A pod of Deployment shop/web."""
    labels = {"pod-template-hash": "5d4"} | ({"weft.dev/proxy-version": "1.2.3"} if meshed else {})
    return pod("shop", "web-1", "10.1.2.3", labels=labels, owner=("ReplicaSet", "web-5d4"), service_account="web")


def busy(prometheus: Any) -> None:
    """web had 90 good and 10 bad requests in the window."""
    prometheus.series = {
        "increase(weft_requests_total": [(WEB | {"result": "success"}, 90), (WEB | {"result": "failure"}, 10)],
        "duration_seconds_bucket": [(WEB | {"le": bound}, count) for bound, count in BUCKETS.items()],
        "weft_requests_total": [(WEB | {"result": "success"}, 900), (WEB | {"result": "failure"}, 100)],
        "weft_tcp_open": [(WEB, 3)],
        "increase(weft_tcp_read": [(WEB, 600)],
        "avg by": [(WEB, 1)],
    }


async def test_stat_joins_objects_and_numbers(lab: Any) -> None:
    """A row a Deployment: meshed from its pods, numbers from its own proxies."""
    busy(lab.prometheus)
    await lab.has(deployment("web"), web_pod())
    answer = await lab.get("stat", kind="deploy", namespace="shop")
    assert answer == {
        "window_seconds": 60,
        "rows": [
            {
                "namespace": "shop",
                "kind": "deployment",
                "name": "web",
                "meshed": {"pods": 1, "running": 1},
                "success": 0.9,
                "rps": pytest.approx(100 / 60),
                "latency_seconds": {
                    "p50": 0.01,
                    "p95": pytest.approx(0.15),
                    "p99": pytest.approx(0.19),
                    "at_least": [],
                },
                "tcp_open_connections": 3,
                "tcp_read_bytes_per_second": 10.0,
                "tcp_written_bytes_per_second": 0.0,
                "totals": {"success": 900, "failure": 100, "cancelled": 0},
                "status": "",
                "note": "",
            }
        ],
        "warnings": [],
    }


async def test_numbers_are_over_what_prometheus_has_seen(lab: Any) -> None:
    """10 minutes after it began, those of an hour would be a sixth; the answer says over which time they are."""
    busy(lab.prometheus)
    lab.prometheus.series = {"weft-control-plane": [({}, 600.9)]} | lab.prometheus.series
    await lab.has(deployment("web"), web_pod())
    answer = await lab.get("stat", namespace="shop", window="1h")
    assert (answer["window_seconds"], answer["rows"][0]["rps"]) == (600, pytest.approx(100 / 600))
    assert any("[600s]" in asked for asked in lab.prometheus.asked)
    assert not any("[3600s]" in asked for asked in lab.prometheus.asked)


async def test_workloads_without_metrics_are_there_with_the_reason(lab: Any) -> None:
    """Not in the mesh: no numbers, and what to do."""
    await lab.has(deployment("web"), web_pod(meshed=False))
    (row,) = (await lab.get("stat", namespace="shop"))["rows"]
    assert (row["rps"], row["totals"]) == (None, None)
    assert row["note"].startswith("not in the mesh: no proxy in any pod (kubectl get -n shop deploy/web")


async def test_without_prometheus_the_rows_stay_and_say_so(lab: Any) -> None:
    """A refusal of Prometheus is a warning and each row's note, not an error."""
    lab.prometheus.refused = ""
    await lab.has(deployment("web"), web_pod())
    answer = await lab.get("stat", namespace="shop")
    assert answer["warnings"] == ["Prometheus refused a query: out of memory"]
    assert answer["rows"][0]["note"] == "Prometheus refused a query: out of memory"


@pytest.mark.parametrize(
    ("view", "part"),
    [
        ("problems", "dst_workload, dst_service"),
        ("problems", 'tls!~"true'),
        ("problems", 'result="failure"'),
        ("problems", "weft_policy_denied_total"),
        ("problems", "weft_proxy_errors_total"),
        ("problems", "weft_identity_expiry"),
        ("problems", "weft_discovery_connected"),
        ("policies", "weft_egress_total"),
        ("topology", "dst_workload, dst_service"),
        ("identities", 'tls!~"true'),
        ("identities", "weft_identity_expiry"),
        ("identities", "weft_identity_issuer_expiry"),
        ("workload", "weft_identity_expiry"),
        ("workload", "weft_balancer_endpoints"),
        ("workload", "max by (namespace, workload_kind, workload, dst_namespace, dst_service, endpoint)"),
    ],
)
async def test_what_could_not_be_looked_at_is_told(lab: Any, view: str, part: str) -> None:
    """One query that fails is a warning of every view that needs it: silence would read as all is well."""
    busy(lab.prometheus)
    await lab.has(deployment("web"), web_pod())
    one = {"namespace": "shop", "name": "web"} if view == "workload" else {}
    lab.prometheus.refused = part
    assert (await lab.get(view, **one))["warnings"].count("Prometheus refused a query: out of memory") == 1


@pytest.mark.parametrize("view", ["edges", "routes", "inbound", "outbound", "topology", "identities", "workload"])
@pytest.mark.parametrize(
    ("up", "said"),
    [
        (None, "Prometheus has no data yet of {}: it has not scraped any of its proxies"),
        (0, "Prometheus cannot scrape the proxies of {} (port 4191): see its page of targets"),
    ],
)
async def test_proxies_that_are_not_heard_are_no_silence(lab: Any, view: str, up: float | None, said: str) -> None:
    """Where Prometheus is empty, or reaches none of those that would tell, nothing found is not "no traffic"."""
    await lab.has(namespace("shop"), deployment("web"), web_pod())
    lab.prometheus.series = {"avg by (job)": [({}, up)]} if up is not None else {}
    one = {"name": "web"} if view == "workload" else {}
    answer = await lab.get(view, namespace="shop", **one)
    assert answer["warnings"][-1] == said.format("deployment 'web'" if one else "namespace shop")


async def test_clients_that_are_not_heard_are_no_silence(lab: Any) -> None:
    """Nor in rows of Services, and of who calls a peer: clients' proxies would tell of both."""
    await lab.has(namespace("shop"), SERVICE, deployment("web"), deployment("db"), web_pod())
    said = "Prometheus has no data yet of {}: it has not scraped any of its proxies"
    services = await lab.get("stat", kind="svc", namespace="shop")
    callers = await lab.get("stat", namespace="shop", to="deploy/db")
    assert [(row["rps"], row["note"]) for row in services["rows"]] == [(None, said.format("any namespace"))]
    assert (callers["rows"], callers["warnings"]) == ([], [said.format("namespace shop")])


@pytest.mark.parametrize("meshed", [False, True])
async def test_silence_is_known_where_proxies_are_heard_or_there_are_none(lab: Any, meshed: bool) -> None:
    """No warning: it is so."""
    await lab.has(deployment("web"), web_pod(meshed=meshed))
    lab.prometheus.series = {"avg by (job)": [({}, 1)]} if meshed else {}
    assert (await lab.get("edges", namespace="shop"))["warnings"] == []
    assert (await lab.get("routes", kind="svc", namespace="shop", name="web"))["warnings"] == []


async def test_who_asks_the_same_shares_one_answer(lab: Any) -> None:
    """Every expression goes to Prometheus once, however many ask within a second."""
    await lab.has(deployment("web"), web_pod())
    await lab.get("stat", namespace="shop")
    asked = len(lab.prometheus.asked)
    await lab.get("stat", namespace="shop")
    assert len(lab.prometheus.asked) == asked == len(set(lab.prometheus.asked))


async def test_an_unknown_name_is_told(lab: Any) -> None:
    """No rows, and a warning that names what is not there."""
    answer = await lab.get("stat", namespace="shop", name="nobody")
    assert (answer["rows"], answer["warnings"]) == ([], ["there is no deployment 'nobody' in namespace shop"])


async def test_namespaces_are_rows_too(lab: Any) -> None:
    """One a namespace, with its pods."""
    await lab.has(namespace("shop"), web_pod())
    (row,) = (await lab.get("namespaces"))["rows"]
    assert (row["kind"], row["name"], row["meshed"]) == ("namespace", "shop", {"pods": 1, "running": 1})


async def test_several_kinds_come_in_one_answer(lab: Any) -> None:
    """A page needs one stream, not one a kind: browsers open only six connections to a server."""
    await lab.has(deployment("web"), web_pod())
    rows = (await lab.get("stat", kind="deploy,pod", namespace="shop"))["rows"]
    assert [(row["kind"], row["name"]) for row in rows] == [("deployment", "web"), ("pod", "web-1")]


async def test_names_need_no_prometheus(lab: Any) -> None:
    """The palette lists what there is each time that it is opened."""
    await lab.has(namespace("shop"), deployment("web"), web_pod())
    assert (await lab.get("names", kind="ns,deploy"))["rows"] == [
        {"namespace": "shop", "kind": "namespace", "name": "shop"},
        {"namespace": "shop", "kind": "deployment", "name": "web"},
    ]
    assert lab.prometheus.asked == []


async def test_with_a_peer_only_those_with_traffic_are_rows(lab: Any) -> None:
    """Who does not talk with the peer is left out."""
    await lab.has(deployment("web"), deployment("idle"), deployment("db"), web_pod())
    lab.prometheus.series = {"(weft_requests_total": [(WEB | {"result": "success"}, 5)], "avg by (job)": [({}, 1)]}
    answer = await lab.get("stat", namespace="shop", to="deploy/db")
    assert [row["name"] for row in answer["rows"]] == ["web"]


NOBODY = "Prometheus has no data yet of deployment 'web': it has not scraped any of its proxies"
FAILS = "Prometheus cannot scrape the proxies of deployment 'web' (port 4191): see its page of targets"


@pytest.mark.parametrize(
    ("objects", "up", "said"),
    [
        ([], None, "there is no deployment 'web' in namespace shop"),
        ([deployment("web")], None, "deployment 'web' has no running pods"),
        (
            [deployment("web"), web_pod(meshed=False)],
            None,
            "deployment 'web' is not in the mesh: nobody counts what it sends",
        ),
        ([deployment("web"), web_pod()], None, NOBODY),
        ([deployment("web"), web_pod()], 0, FAILS),
    ],
)
async def test_a_client_that_tells_nothing_is_not_silent(lab: Any, objects: Any, up: float | None, said: str) -> None:
    """Its proxies count what it sends: without them nobody knows, and zero would be untrue."""
    await lab.has(deployment("db"), *objects)
    lab.prometheus.series = {"avg by (job)": [({}, up)]} if up is not None else {}
    answer = await lab.get("stat", namespace="shop", name="db", **{"from": "deploy/web"})
    assert (answer["warnings"], [(row["rps"], row["note"]) for row in answer["rows"]]) == ([said], [(None, said)])


async def test_a_client_that_is_scraped_and_sends_nothing_is_silent(lab: Any) -> None:
    """Zero is known, by whichever of the two is asked for."""
    await lab.has(deployment("db"), deployment("web"), web_pod())
    lab.prometheus.series = {"avg by (job)": [({}, 1)]}
    answer = await lab.get("stat", namespace="shop", name="db", **{"from": "deploy/web"})
    assert (answer["warnings"], [row["rps"] for row in answer["rows"]]) == ([], [0.0])


async def test_a_peer_that_is_not_there_is_told(lab: Any) -> None:
    """A name that was mistyped is no silence."""
    await lab.has(deployment("web"), web_pod())
    answer = await lab.get("stat", namespace="shop", to="deploy/dv")
    assert answer["warnings"] == ["there is no deployment 'dv' in namespace shop"]


async def test_edges_have_both_identities(lab: Any) -> None:
    """The client's from its service account, the server's as its certificate said."""
    lab.prometheus.series = {"increase(": [(EDGE | {"result": "success"}, 60)], "weft_tcp_open": [(EDGE, 2)]}
    await lab.has(deployment("web"), web_pod())
    assert (await lab.get("edges", kind="deploy", namespace="shop"))["rows"] == [
        {
            "src": {"namespace": "shop", "kind": "deployment", "name": "web"},
            "dst": {"namespace": "shop", "kind": "deployment", "name": "db"},
            "client_id": "spiffe://cluster.local/ns/shop/sa/web",
            "server_id": "spiffe://cluster.local/ns/shop/sa/db",
            "tls": "true",
            "reason": "",
            "rps": 1.0,
            "success": 1.0,
            "tcp_open_connections": 2,
        }
    ]


async def test_what_comes_from_outside_is_an_edge_with_the_reason(lab: Any) -> None:
    """Only the server's proxy sees a client without one."""
    lab.prometheus.plain = [(WEB | {"tls": "no_identity", "result": "success"}, 60)]
    (edge,) = (await lab.get("edges", namespace="shop"))["rows"]
    assert (edge["src"]["name"], edge["dst"]["name"], edge["tls"]) == ("", "web", "no_identity")
    assert edge["reason"].startswith("the client is not in the mesh")


async def test_what_reached_no_server_is_not_called_plain_text(lab: Any) -> None:
    """The proxy answered itself: the edge says so, and the identity page leaves it out."""
    unreached = EDGE | {"dst_workload_kind": "", "dst_workload": "", "peer_identity": "", "tls": "no_identity"}
    lab.prometheus.series = {"dst_workload, dst_service": [(unreached | {"result": "failure"}, 60)]}
    (edge,) = (await lab.get("edges", namespace="shop"))["rows"]
    assert (edge["dst"]["kind"], edge["reason"].startswith("no server was reached")) == ("service", True)
    assert (await lab.get("identities"))["plain"] == []


async def test_a_server_without_proxy_that_only_fails_was_sent_plain_text(lab: Any) -> None:
    """Its answers are bad, and yet what it was asked went over the network as it was."""
    plain = EDGE | {"peer_identity": "", "tls": "no_identity"}
    lab.prometheus.series = {"dst_workload, dst_service": [(plain | {"result": "failure"}, 60)]}
    (edge,) = (await lab.get("identities"))["plain"]
    assert (edge["src"]["name"], edge["dst"]["name"], edge["success"]) == ("web", "db", 0.0)


async def test_calls_of_a_replicaset_are_not_said_to_be_none(lab: Any) -> None:
    """Metrics know the Deployment that made it; one that nobody made has edges of its own."""
    sets = [deployment(name) | {"kind": "ReplicaSet"} for name in ("web-5d4", "lone")]
    lone = pod("shop", "lone-1", "10.1.2.4", owner=("ReplicaSet", "lone"))
    of_lone = EDGE | {"workload_kind": "replicaset", "workload": "lone"}
    lab.prometheus.series = {"increase(": [(of_lone | {"result": "success"}, 60)], "avg by": [(WEB, 1)]}
    await lab.has(*sets, web_pod(), lone)
    told = ["calls are counted by workload, not by replicaset: ask for deployment/web"]
    for query in ({"name": "web-5d4"}, {}):
        assert (await lab.get("edges", kind="rs", namespace="shop", **query))["warnings"] == told
    answer = await lab.get("edges", kind="rs", namespace="shop", name="lone")
    assert ([row["src"]["name"] for row in answer["rows"]], answer["warnings"]) == (["lone"], [])


async def test_long_names_have_numbers_too(lab: Any) -> None:
    """Metrics know them cut; answers have them whole, in rows and in edges."""
    long = "n" * 70
    label = WEB | {"workload": label_value(long)}
    lab.prometheus.series = {
        "dst_workload": [(EDGE | label | {"result": "success"}, 60)],
        "(weft_requests_total": [(label | {"result": "success"}, 5)],
        "avg by": [(label, 1)],
    }
    await lab.has(deployment(long))
    (row,) = (await lab.get("stat", namespace="shop"))["rows"]
    (edge,) = (await lab.get("edges", namespace="shop", name=long))["rows"]
    assert (row["name"], row["totals"]["success"], edge["src"]["name"]) == (long, 5, long)


async def test_routes_are_by_route_and_service(lab: Any) -> None:
    """Busiest first."""
    labels = {"dst_namespace": "shop", "dst_service": "db"}
    lab.prometheus.series = {
        "increase(weft_requests": [
            (labels | {"route": "GET /a", "result": "success"}, 30),
            (labels | {"result": "failure"}, 60),
        ]
    }
    rows = (await lab.get("routes", kind="deploy", namespace="shop", name="web"))["rows"]
    assert [(row["route"], row["service"]["name"], row["rps"]) for row in rows] == [
        ("", "db", 1.0),
        ("GET /a", "db", 0.5),
    ]


async def test_outbound_is_by_route_and_backend(lab: Any) -> None:
    """With the route's retries, and what was too late."""
    own = {"namespace": "shop", "workload_kind": "deployment", "workload": "web", "route": "GET /a"}
    service = own | {"dst_namespace": "shop", "dst_service": "db"}
    backend = service | {"dst_workload_kind": "deployment", "dst_workload": "db-v2"}
    lab.prometheus.series = {
        'status="504"': [(backend, 6)],
        'grpc_status="4"': [(backend, 3)],
        "increase(weft_retries": [(service, 30)],
        "increase(weft_requests": [(backend | {"result": "success"}, 60)],
    }
    rows = (await lab.get("outbound", kind="deploy", namespace="shop"))["rows"]
    assert [(r["src"]["name"], r["service"]["name"], r["route"], r["backend"]["name"], r["rps"]) for r in rows] == [
        ("web", "db", "GET /a", "db-v2", 1.0)
    ]
    assert [(row["retries_per_second"], row["timeouts_per_second"]) for row in rows] == [(0.5, 0.15)]


async def test_inbound_is_by_route_and_client(lab: Any) -> None:
    """A client without identity says why; what was denied is part of the rate, and told by itself."""
    own = {"namespace": "shop", "workload_kind": "deployment", "workload": "db", "result": "failure"}
    client = {"peer_identity": "spiffe://cluster.local/ns/shop/sa/web", "tls": "true"}
    denied = own | {"tls": "no_identity", "result": "denied"}
    lab.prometheus.series = {
        "increase(weft_requests": [(own | client, 60), (own | {"tls": "no_identity"}, 15), (denied, 15)]
    }
    rows = (await lab.get("inbound", kind="deploy", namespace="shop", name="db"))["rows"]
    columns = ("client_id", "tls", "rps", "denied_rps", "success")
    assert [(row["dst"]["name"], *(row[column] for column in columns)) for row in rows] == [
        ("db", client["peer_identity"], "true", 1.0, 0.0, 0.0),
        ("db", "", "no_identity", 0.5, 0.25, 0.0),
    ]


async def test_sides_of_a_service_are_refused(lab: Any) -> None:
    """It has no proxy."""
    async with lab.session.get("/api/v1/inbound", params={"kind": "svc"}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (400, "bad_parameter")


async def test_topology_names_neighbours_outside(lab: Any) -> None:
    """Nodes are the namespace's workloads and those their edges lead to."""
    lab.prometheus.series = {"increase(weft_requests": [(EDGE | {"result": "success"}, 60)]}
    await lab.has(deployment("web"), web_pod())
    answer = await lab.get("topology", namespace="shop")
    assert [node["name"] for node in answer["nodes"]] == ["web", "db"]
    assert len(answer["edges"]) == 1


def read(answer: Any) -> list[str]:
    """The checks as people read them, but for those of components that are not there."""
    lines = (f"{check['result']}: {check['name']}: {check['message']}" for check in answer["checks"])
    return [line for line in lines if not line.endswith(": there are none")]


def component_pod(*, ready: bool) -> dict[str, Any]:
    """A pod of identity."""
    made = pod("weft", "identity-1", "10.1.2.4", labels={"weft.dev/component": "identity"})
    made["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]
    return made


async def test_proxies_that_prometheus_does_not_know_are_told(lab: Any) -> None:
    """All targets that there are may be well, and yet some proxies be none of them; young ones get their time."""
    young = web_pod()
    young["metadata"] |= {"name": "web-2", "creationTimestamp": datetime.now(UTC).isoformat(timespec="seconds")}
    await lab.has(web_pod(), young)
    told = "warning: Scrapes of the proxies: Prometheus does not know 1 of 1: shop/web-1"
    assert told in read(await lab.get("check"))


async def test_check_names_components_that_have_no_pod(lab: Any) -> None:
    """Without pods every component is an error with a hint."""
    answer = await lab.get("check")
    first = answer["checks"][0]
    assert (answer["ok"], first["id"], first["result"]) == (False, "identity-ready", "error")
    assert (first["name"], first["message"]) == ("Pods of identity", "there are none")


async def test_checks_read_well_when_all_is_well(lab: Any) -> None:
    """What was looked at, then what was found."""
    lab.prometheus.series = {"up{": [({"namespace": "shop", "pod": "web-1"}, 1)]}
    await lab.has(component_pod(ready=True), web_pod())
    assert read(await lab.get("check")) == [
        "success: Pods of identity: 1 of 1 ready",
        "success: Queries to Prometheus: answered",
        "success: Scrapes of the proxies: 1 of 1 succeed",
        "success: Versions of the proxies: all 1.2.3",
    ]


async def test_checks_read_well_when_something_is_wrong(lab: Any) -> None:
    """The same names, and what is wrong with them."""
    lab.prometheus.series = {"up{": [({"namespace": "shop", "pod": "web-1"}, 0)]}
    old = web_pod()
    old["metadata"]["labels"]["weft.dev/proxy-version"] = "1.0.0"
    await lab.has(component_pod(ready=False), old)
    assert read(await lab.get("check")) == [
        "error: Pods of identity: none is ready: identity-1 is Running",
        "success: Queries to Prometheus: answered",
        "warning: Scrapes of the proxies: 1 of 1 fail: shop/web-1",
        "warning: Versions of the proxies: the control plane's is 1.2.3; there is also 1.0.0 in 1 pod",
    ]


async def test_policies_tell_what_they_refused(lab: Any) -> None:
    """By policy, limits among them, and what left the mesh by where it went; what nobody counted is left out."""
    shop = {"namespace": "shop"}
    lab.prometheus.series = {
        "weft_policy_denied_total": [
            (shop | {"policy": "shop/menu#1", "mode": "audit"}, 3),
            (shop | {"policy": "policy shop/out", "mode": "enforce"}, 0),
        ],
        "weft_rate_limited_total": [(shop | {"policy": "shop/slow"}, 40)],
        "weft_egress_total": [(shop | {"destination": "api.example.com", "verdict": "allow"}, 7)],
    }
    answer = await lab.get("policies", namespace="shop")

    assert answer == {
        "window_seconds": 60,
        "refused": [
            shop | {"policy": "shop/slow", "mode": "limit", "calls": 40},
            shop | {"policy": "shop/menu#1", "mode": "audit", "calls": 3},
        ],
        "leaving": [shop | {"destination": "api.example.com", "verdict": "allow", "calls": 7}],
        "warnings": [],
    }
    assert sum('namespace="shop"' in asked for asked in lab.prometheus.asked) == 3


ALL = EDGE | {
    "pod": "web-1",
    "result": "success",
    "route": "/a",
    "policy": "shop/web",
    "mode": "enforce",
    "code": "E103",
    "destination": "example.com",
    "verdict": "allow",
    "state": "open",
    "reason": "failures",
    "status": "500",
    "endpoint": "10.1.2.3:80",
}
TYPES = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "array": list, "object": dict}


def unlike(value: Any, schema: Any, schemas: Any, at: str = "") -> Iterator[str]:
    """Where a value is not what a schema of the document says."""
    if ref := schema.get("$ref"):
        schema = schemas[ref.rpartition("/")[2]]
    if "anyOf" in schema:
        if all(list(unlike(value, one, schemas)) for one in schema["anyOf"]):
            yield f"{at} is {value!r}"
        return
    if schema["type"] == "null" or not isinstance(value, TYPES[schema["type"]]):
        if schema["type"] != "null" or value is not None:
            yield f"{at} is {value!r}, no {schema['type']}"
        return
    if isinstance(value, list):
        for one in value:
            yield from unlike(one, schema["items"], schemas, f"{at}[]")
    if isinstance(value, dict):
        yield from _unlike_fields(value, schema, schemas, at)


def _unlike_fields(value: Any, schema: Any, schemas: Any, at: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    yield from (f"{at} lacks {name}" for name in schema.get("required", []) if name not in value)
    for name, one in value.items():
        if name in known or others:
            yield from unlike(one, known.get(name) or others, schemas, f"{at}.{name}")
        else:
            yield f"{at} has {name}, which is not documented"


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.answer], ids=lambda one: one.path)
async def test_answers_are_what_the_openapi_document_says(lab: Any, operation: Any) -> None:
    """Every field of every row, by the document alone."""
    lab.prometheus.series = {
        "weft-control-plane": [],
        "duration_seconds_bucket": [(ALL | {"le": bound}, count) for bound, count in BUCKETS.items()],
        "": [(ALL, 100), (ALL | {"result": "failure"}, 50)],
    }
    lab.prometheus.over_time = [({"result": "success"}, [9.0, 0.0])]
    await lab.has(namespace("shop"), deployment("web"), web_pod())
    document = await lab.get("openapi.json")
    one = {"namespace": "shop", "name": "web"} if {"namespace", "name"} <= set(operation.parameters) else {}
    answer = await lab.get(operation.path, **one)
    schema = {"$ref": f"#/components/schemas/{operation.answer.__name__}"}
    assert list(unlike(answer, schema, document["components"]["schemas"])) == []
    assert isinstance(msgspec.convert(answer, operation.answer), operation.answer)
    assert answer.get("rows") != []
    assert answer.get("edges") != []
    assert answer.get("problems") != []


GIVEN = {"kind": "deploy", "namespace": "shop", "name": "web", "window": "60s", "selector": "app=web"} | {
    f"{side}{part}": value for side in ("to", "from") for part, value in (("", "deploy/db"), ("_namespace", "shop"))
}


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.answer], ids=lambda one: one.path)
async def test_documented_parameters_are_taken(lab: Any, operation: Any) -> None:
    """Each one, by its view."""
    await lab.has(deployment("web"), deployment("db"))
    needed = {"namespace": "shop", "name": "web"} if {"namespace", "name"} <= set(operation.parameters) else {}
    for name in operation.parameters:
        given = {name: GIVEN[name]} if name != "of" else {"of": "deploy/web", "kind": "pod", "namespace": "shop"}
        answer = await lab.get(operation.path, **needed | given)
        assert "error" not in answer, name


async def test_streams_have_the_schemas_of_their_events(lab: Any) -> None:
    """A generated client knows what it hears."""
    document = await lab.get("openapi.json")
    for path, first in (("stat/stream", "Change"), ("stream", "Change")):
        content = document["paths"][f"/api/v1/{path}"]["get"]["responses"]["200"]["content"]["text/event-stream"]
        refs = [one["$ref"].rpartition("/")[2] for one in content["schema"]["contentSchema"]["anyOf"]]
        assert (refs[0], set(refs) <= set(document["components"]["schemas"])) == (first, True)


async def test_every_view_is_in_the_openapi_document(lab: Any) -> None:
    """What the document lists is there, and refuses what it does not list."""
    document = await lab.get("openapi.json")
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {f"/api/v1/{one.path}" for one in OPERATIONS}
    refused = msgspec.convert(await lab.get("stat", colour="red"), model.Error)
    assert refused.error.code == "bad_parameter"


async def test_an_unknown_path_of_the_api_is_not_the_page(lab: Any) -> None:
    """404 as JSON."""
    assert (await lab.get("nothing"))["error"]["code"] == "not_found"


async def event(response: Any) -> Any:
    """The data of the next server-sent event."""
    while not (line := await response.content.readline()).startswith(b"data: "):
        assert line
    return json.loads(line.removeprefix(b"data: "))


async def test_a_stream_begins_with_all_rows(lab: Any) -> None:
    """The first event holds every row and removes none."""
    await lab.has(deployment("web"), web_pod())
    async with lab.session.get("/api/v1/stat/stream", params={"namespace": "shop"}) as response:
        first = await event(response)
    assert ([row["name"] for row in first["rows"]], first["removed"]) == (["web"], [])


async def test_a_browser_hears_why_a_stream_is_refused(lab: Any) -> None:
    """An EventSource cannot see a status: it gets the error as an event; others get the status."""
    headers = {"Accept": "text/event-stream"}
    async with lab.session.get("/api/v1/stat/stream?kind=x", headers=headers) as response:
        assert (await event(response))["error"]["code"] == "bad_parameter"
    async with lab.session.get("/api/v1/stat/stream?kind=x") as response:
        assert response.status == 400


TAP = "/apis/tap.weft.dev/v1alpha1/watch/namespaces/shop/deployments/web/tap"


async def test_tap_hands_on_the_aggregated_apis_lines(lab: Any) -> None:
    """Each line becomes an event, asked for by web with the browser's filters."""
    lab.kube.on_request("GET", TAP, lambda request: {"path": request.query["path"]})
    query = {"namespace": "shop", "kind": "deploy", "name": "web", "path": "/x"}
    async with lab.session.get("/api/v1/tap", params=query) as response:
        assert await event(response) == {"path": "/x"}


async def test_tap_says_why_it_is_refused(lab: Any) -> None:
    """The API's status, and a hint which role is missing."""
    lab.kube.on_request("GET", TAP, lambda _: (403, {"reason": "Forbidden", "message": "no"}))
    answer = await lab.get("tap", namespace="shop", kind="deploy", name="web")
    assert (answer["error"]["code"], "weft-tap-viewer" in answer["error"]["hint"]) == ("tap_refused", True)


async def test_prometheus_is_told_its_targets(lab: Any) -> None:
    """By HTTP service discovery: address and labels of every proxy."""
    await lab.has(web_pod())
    async with lab.session.get(f"{lab.admin_url}/targets/weft-proxy") as response:
        (target,) = await response.json()
    assert (target["targets"], target["labels"]["pod"]) == (["10.1.2.3:4191"], "web-1")


async def test_problems_are_found_in_what_prometheus_says(lab: Any) -> None:
    """A failing workload, with the failed answers as evidence and the page to open."""
    busy(lab.prometheus)
    failed = [(WEB | {"status": "500", "result": "failure", "peer_identity": ""}, 10)]
    lab.prometheus.series = {'result="failure"': failed} | lab.prometheus.series
    await lab.has(deployment("web"), web_pod())
    found = (await lab.get("problems", namespace="shop"))["problems"]
    (problem,) = [one for one in found if one["id"].startswith("failing:")]
    assert (problem["severity"], problem["evidence"], problem["link"]) == (
        "warning",
        ["10 times HTTP 500 to clients outside the mesh"],
        "/namespaces/shop/deployment/web",
    )


async def test_a_certificate_is_late_when_a_quarter_of_its_life_is_left(lab: Any) -> None:
    """Whatever life the installation gives it."""
    lab.prometheus.series = {
        " - time() < scalar((min(min_over_time(weft_identity_issuance_lifetime_seconds[1d])) or": [(WEB, 70)],
        "min(min_over_time(weft_identity_issuance_lifetime_seconds[1d]))": [({}, 300)],
    }
    found = (await lab.get("problems"))["problems"]
    (late,) = [one for one in found if one["id"].startswith("certificate")]
    assert (late["severity"], late["title"]) == ("warning", "deployment/web in shop: its certificate ends in 1 min")


async def test_a_workload_comes_with_its_pods_and_neighbours(lab: Any) -> None:
    """One answer holds what its page shows."""
    lab.prometheus.series = {
        "expiry": [({"namespace": "shop", "pod": "web-1"}, 1000)],
        "dst_workload, dst_service": [(EDGE | {"result": "success"}, 60)],
    }
    await lab.has(deployment("web"), web_pod())
    answer = await lab.get("workload", kind="deploy", namespace="shop", name="web")
    (pod_of_it,) = answer["pods"]
    assert (pod_of_it["row"]["name"], pod_of_it["expiry_timestamp_seconds"]) == ("web-1", 1000)
    assert [one["dst"]["name"] for one in answer["edges"]] == ["db"]
    assert answer["identities"] == ["spiffe://cluster.local/ns/shop/sa/web"]


async def test_a_workload_that_is_not_there_is_said_to_be_gone(lab: Any) -> None:
    """404, and what is missing."""
    answer = await lab.get("workload", kind="deploy", namespace="shop", name="gone")
    assert answer["error"]["message"] == "there is no deployment 'gone' in namespace shop"


async def test_history_has_gaps_where_nothing_is_known(lab: Any) -> None:
    """A step without a sample is null, not zero; shares are of what succeeded or failed."""
    lab.prometheus.over_time = [({"result": "success"}, [9.0, 0.0]), ({"result": "failure"}, [1.0, 0.0])]
    answer = await lab.get("history", kind="deploy", namespace="shop", name="web", window="15s")
    assert (answer["success"], answer["rps"]) == ([0.9, None, None, None], [10.0, 0.0, None, None])


@pytest.mark.parametrize(
    ("kind", "version"),
    [("Deployment", "ReplicaSet"), ("StatefulSet", "ControllerRevision"), ("DaemonSet", "ControllerRevision")],
)
async def test_rollouts_are_markers_of_history(lab: Any, kind: str, version: str) -> None:
    """Each version of the workload, when it began; not those of a namesake of another kind."""

    await lab.has(a_version(version, kind, "web-5d4", 7), a_version(version, "Foreign", "web-9", 7))
    (marker,) = (await lab.get("history", kind=kind, namespace="shop", name="web"))["markers"]
    assert marker["text"] == "revision 7: web-5d4"


def a_version(kind: str, owner: str, name: str, revision: int, minutes: float = 0) -> dict[str, Any]:
    """A version of shop/web that is so old."""
    meta: dict[str, Any] = {"namespace": "shop", "name": name, "creationTimestamp": ago(minutes)}
    meta["ownerReferences"] = [{"kind": owner, "name": "web", "controller": True}]
    meta["annotations"] = {"deployment.kubernetes.io/revision": str(revision)}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "revision": revision}


def ago(minutes: float) -> str:
    """A time as Kubernetes writes it."""
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")


async def test_a_rollback_is_a_marker_of_its_own(lab: Any) -> None:
    """The old version is the one in use again: it has the highest revision, and the Deployment knows since when."""
    progress = {"type": "Progressing", "status": "True", "lastUpdateTime": ago(2)}
    await lab.has(
        deployment("web") | {"status": {"conditions": [progress]}},
        a_version("ReplicaSet", "Deployment", "web-bad", 10, minutes=5),
        a_version("ReplicaSet", "Deployment", "web-good", 11, minutes=20),
    )
    markers = (await lab.get("history", kind="deploy", namespace="shop", name="web"))["markers"]
    assert [one["text"] for one in markers] == [
        "web-good, now revision 11",
        "revision 10: web-bad",
        "back to web-good, as revision 11",
    ]


@pytest.mark.parametrize(
    ("revision", "cause"),
    [(12, "a new version began 5 min ago: web-new, revision 12"), (9, "it answers HTTP nothing itself")],
)
async def test_a_version_that_was_rolled_back_is_no_cause(lab: Any, revision: int, cause: str) -> None:
    """It is gone. Revisions are numbers: 9 is before 11."""
    busy(lab.prometheus)
    lab.prometheus.series = {"dst_workload, dst_service": []} | lab.prometheus.series
    await lab.has(
        *(deployment("web"), web_pod()),
        a_version("ReplicaSet", "Deployment", "web-new", revision, minutes=5),
        a_version("ReplicaSet", "Deployment", "web-old", 11, minutes=10),
    )
    found = (await lab.get("problems", namespace="shop"))["problems"]
    (failing,) = [one for one in found if one["id"].startswith("failing:")]
    assert failing["cause"].startswith(cause)


async def test_a_workload_shows_what_its_balancers_leave_out(lab: Any) -> None:
    """By Service: endpoints in use and left out, as the proxy with most has it; why they were left out."""
    who = {"namespace": "shop", "workload_kind": "deployment", "workload": "web", "dst_namespace": "shop"}
    who |= {"dst_service": "db"}
    lab.prometheus.series = {
        "weft_balancer_endpoints": [(who | {"state": "closed"}, 2), (who | {"state": "open"}, 1)],
        "weft_breaker_trips_total": [(who | {"reason": "failures"}, 3), (who | {"reason": "unreachable"}, 0)],
        "weft_balancer_left_out": [(who | {"endpoint": f"{address}:80"}, 1) for address in ("10.1.2.3", "10.9.9.9")],
    }
    await lab.has(deployment("web"), web_pod())
    answer = await lab.get("workload", kind="deploy", namespace="shop", name="web")
    client = {"namespace": "shop", "kind": "deployment", "name": "web"}
    service = {"namespace": "shop", "kind": "service", "name": "db"}
    row = {"client": client, "service": service, "in_use": 2, "left_out": 1, "trips": {"failures": 3}}
    assert answer["balancers"] == [row | {"endpoints_left_out": ["10.9.9.9:80", "web-1"]}]
    assert (answer["pods"][0]["breaker"], answer["pods"][0]["left_out_by"]) == ("open", [client])


@pytest.mark.parametrize(
    ("selector", "conditions", "left_out", "breaker"),
    [
        ({"app": "web"}, [{"type": "Ready", "status": "True"}], 16, "closed"),
        ({"app": "web"}, [{"type": "Ready", "status": "True"}], 17, None),
        ({"app": "web"}, [{"type": "Ready", "status": "False"}], 0, None),
        ({"app": "db"}, [{"type": "Ready", "status": "True"}], 0, None),
        ({}, [{"type": "Ready", "status": "True"}], 0, None),
    ],
)
async def test_a_breaker_is_closed_where_clients_have_one(
    lab: Any, selector: Any, conditions: Any, left_out: int, breaker: str | None
) -> None:
    """Of a ready pod behind a Service that somebody calls; of more than 16 that are left out not all are named."""
    who = WEB | {"dst_namespace": "shop", "dst_service": "web"}
    states = {"closed": 1, "open": left_out}
    lab.prometheus.series = {
        "weft_balancer_endpoints": [(who | {"state": state}, count) for state, count in states.items()]
    }
    service = {**SERVICE, "metadata": {"namespace": "shop", "name": "web"}, "spec": {"selector": selector}}
    made = web_pod()
    made["metadata"]["labels"]["app"] = "web"
    made["status"]["conditions"] = conditions
    await lab.has(deployment("web"), service, made)
    (one,) = (await lab.get("workload", kind="deploy", namespace="shop", name="web"))["pods"]
    assert (one["breaker"], one["left_out_by"]) == (breaker, [])


async def test_service_accounts_have_the_traffic_of_their_pods(lab: Any) -> None:
    """Those that pods run under, by the label that the scrape gives; no other view knows them."""
    labels = {"namespace": "shop", "service_account": "web", "result": "success"}
    lab.prometheus.series = {"weft_requests_total": [(labels, 120)]}
    await lab.has(web_pod())
    (row,) = (await lab.get("stat", kind="sa", namespace="shop"))["rows"]
    assert (row["kind"], row["name"], row["rps"], row["meshed"]["pods"]) == ("serviceaccount", "web", 2.0, 1)
    assert "known to `stat` only" in (await lab.get("edges", kind="sa"))["error"]["message"]


async def test_identities_show_the_chain(lab: Any) -> None:
    """The bundle's certificate, the issuer's end, and each identity with its first certificate's end."""
    anchor = new_anchor(datetime.now(UTC))
    bundle = {"ca.crt": bundle_pem([anchor.certificate]).decode()}
    meta = {"namespace": "weft", "name": "weft-trust-bundle"}
    lab.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "data": bundle, "metadata": meta})
    lab.prometheus.series = {"issuer": [({}, 5000)], "expiry": [({"namespace": "shop", "pod": "web-1"}, 1000)]}
    await lab.has(web_pod())
    answer = await lab.get("identities")
    assert [one["sha256"] for one in answer["anchors"]] == [anchor.certificate.fingerprint(SHA256()).hex()]
    assert answer["issuer_expiry_timestamp_seconds"] == 5000
    (row,) = answer["rows"]
    assert (row["id"], row["pods"], row["expiry_timestamp_seconds"]) == (
        "spiffe://cluster.local/ns/shop/sa/web",
        1,
        1000,
    )


async def test_an_endless_answer_of_prometheus_is_cut_short(lab: Any) -> None:
    """100,000 series: no memory is spent on them, and the note says what to do; not what the caller has done."""
    lab.prometheus.series_of_all = 100_000
    await lab.has(deployment("web"), web_pod())
    asked: list[dict[str, str]] = [{}, {"namespace": "shop"}, {"namespace": "shop", "name": "web"}]
    notes = [(await lab.get("stat", **query))["rows"][0]["note"].partition("has more than ")[2] for query in asked]
    assert notes == [
        "16 MiB: ask for one namespace, or one name",
        "16 MiB: ask for one name",
        "16 MiB: ask Prometheus itself for a part of it",
    ]


WHOLE = {ISSUER, LIFETIME}
"""Expressions of one number about the mesh as a whole."""


@pytest.mark.parametrize("view", ["edges", "topology", "problems", "identities", "stat", "routes", "policies"])
async def test_a_namespaces_view_asks_for_that_namespace(lab: Any, view: str) -> None:
    """Every expression that has series of pods names it: all of the mesh's may be more than one answer holds."""
    await lab.has(deployment("web"), web_pod())
    await lab.get(view, namespace="shop")
    asked = [one for one in lab.prometheus.asked if one not in WHOLE and "weft-control-plane" not in one]
    assert [one for one in asked if 'namespace="shop"' not in one] == []


def test_every_path_is_documented() -> None:
    """docs/api.md names each, and no other."""
    page = (Path(__file__).parents[3] / "docs/api.md").read_text()
    named = {path.partition("?")[0] for path in re.findall(r"^\| `([a-z/?=…]+)` \|", page, re.MULTILINE)}
    assert named == {operation.path for operation in OPERATIONS}
