"""diagnostics: what destination and proxies say of themselves."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import pod, service

ENDPOINT = {
    "ip": "10.1.2.3",
    "port": 8080,
    "identity": "spiffe://cluster.local/ns/teahouse/sa/kettle",
    "zone": "",
    "namespace": "teahouse",
    "pod": "kettle-1",
    "workload_kind": "deployment",
    "workload": "kettle",
}
WATCHERS = [
    {"namespace": "teahouse", "pod": "counter-1", "held_version": "9f3a"},
    {"namespace": "shop", "pod": "cart-1", "held_version": "11aa"},
    {"namespace": "shop", "pod": "cart-2", "held_version": ""},
]
ANSWER: dict[str, Any] = {
    "version": "9f3a",
    "kind": "endpoints",
    "state": {"exists": True, "endpoints": [ENDPOINT, ENDPOINT | {"ip": "10.1.2.4", "pod": "", "identity": ""}]},
    "watchers": WATCHERS,
}
WEDGED = {"namespace": "guests", "pod": "g-1", "held_version": "9f3a"}


@pytest.fixture
def replicas(kube: FakeKube, pods: Any) -> tuple[Any, Any]:
    """What two replicas of destination answer."""
    for name in ("destination-a", "destination-b"):
        replica = pod("weft", name, labels={"weft.dev/component": "destination"})
        replica["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        kube.put(replica)
        pods[f"weft/{name}:9990"] = {}
    return pods["weft/destination-a:9990"], pods["weft/destination-b:9990"]


@pytest.mark.parametrize("output", ["table", "wide", "json"])
def test_endpoints(weft: Any, replicas: Any, pods: Any, same: Callable[[str, str], None], output: str) -> None:
    """Where requests may go; wide: what each proxy was told, by whichever replica, and what it says that it holds."""
    for answers, watchers in zip(replicas, (WATCHERS, [WEDGED]), strict=True):
        answers["/debug/endpoints/teahouse/kettle/9090"] = (200, ANSWER | {"watchers": watchers})
    pods["teahouse/counter-1:4191"] = {"/held": (200, b"9f3a svc/kettle.teahouse:9090\n11 svc/kettle.teahouse:90\n")}
    pods["guests/g-1:4191"] = {"/held": (200, b"77cc svc/kettle.teahouse:9090\n- svc/kettle.guests:9090\n")}
    pods["shop/cart-1:4191"] = {"/held": (404, b"/live /ready\n")}
    result = weft("diagnostics", "endpoints", "kettle:9090", "-o", output)
    assert result.exit_code == 0
    same(f"diagnostics-endpoints-{output}.txt", result.stdout)
    behind = {"json": "", "table": "2 of 4", "wide": "3 of 4"}[output]
    assert (behind and f"{behind} proxies do not have the newest state\n") == result.stderr


def test_replicas_that_differ_are_named(weft: Any, replicas: Any) -> None:
    """One that has fallen behind is not believed in silence."""
    for answers, version in zip(replicas, ("9f3a", "11aa"), strict=True):
        answers["/debug/endpoints/teahouse/kettle/9090"] = (200, ANSWER | {"watchers": [], "version": version})
    assert weft("diagnostics", "endpoints", "kettle:9090").stderr == (
        "replicas of destination differ: destination-a has 9f3a, destination-b has 11aa; if it stays so, compare "
        "their watches: `weft diagnostics controller-metrics`\n"
    )


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ({"exists": True, "endpoints": []}, 0, "no endpoint of web.shop:80 is ready: `weft why svc/web -n shop`\n"),
        ({"exists": False, "endpoints": []}, 1, "weft: there is no port 80 of service web in namespace shop."),
    ],
)
def test_no_endpoints(weft: Any, replicas: Any, state: Any, code: int, expected: str) -> None:
    """Why, and what to do."""
    for answers in replicas:
        answers["/debug/endpoints/shop/web/80"] = (200, ANSWER | {"state": state, "watchers": []})
    result = weft("diagnostics", "endpoints", "web.shop.svc.cluster.local:80")
    assert (result.exit_code, result.stderr[: len(expected)]) == (code, expected)


def told(name: str, origin: str, **more: Any) -> dict[str, Any]:
    """A route as destination describes it."""
    usual = {"matches": [], "timeout_ms": None, "backend_timeout_ms": 0, "retryable": False, "retry": None}
    usual |= {"backends": [], "filters": [], "answer": None, "response_classes": [], "inherited": []}
    return usual | {"name": name, "origin": origin} | more


def match(path: str, value: str, **more: Any) -> dict[str, Any]:
    """A match as destination describes it."""
    return {"path": path, "value": value, "method": "", "headers": [], "queries": []} | more


BACKEND = {"namespace": "shop", "name": "web", "port": 80, "weight": 9, "filters": [], "answer": None}
HEADERS = {"response": False, "set": [["x-tea", "green"]], "add": [], "remove": ["x-pot"]}
REWRITE = {"hostname": "inner.example", "path": {"value": "/v2", "prefix": True}}
REDIRECT = {"status": 301, "scheme": "https", "hostname": "", "port": 8443, "path": {"value": "/v2", "prefix": True}}
PORT: dict[str, Any] = {
    "service": {"namespace": "shop", "name": "web", "port": 80},
    "protocol": "detect",
    "retry_budget": {"ratio_permille": 200, "min_retries_per_second": 10, "ttl_ms": 10_000, "origin": "default"},
    "breaker": {
        "max_failures": 3,
        "min_success_permille": 900,
        "min_requests": 10,
        "window_ms": 0,
        "min_penalty_ms": 1500,
        "max_penalty_ms": 0,
    },
    "no_match_not_found": True,
    "routes": [
        told(
            "split/canary",
            "HTTPRoute shop/split rules[0]",
            matches=[match("prefix", "/menu", headers=[{"name": "x-canary", "value": "yes", "regex": False}])],
            timeout_ms=2000,
            inherited=[["timeout", "annotations of the Service"], ["retry", "annotations of HTTPRoute shop/split"]],
            filters=[HEADERS, REWRITE],
            response_classes=[{"min_status": 404, "max_status": 499, "failure": True}],
            retryable=True,
            retry={"statuses": [503], "grpc_codes": [14], "limit": 2, "backoff_ms": 25},
            backends=[
                BACKEND | {"filters": [HEADERS]},
                BACKEND | {"name": "none", "weight": 1, "answer": {"status": 500, "message": "none"}},
            ],
        ),
        told("split/1", "HTTPRoute shop/split rules[1]", matches=[match("exact", "/old")], filters=[REDIRECT]),
        told(
            "split/2",
            "HTTPRoute shop/split rules[2]",
            matches=[match("any", "", method="POST")],
            answer={"status": 500, "message": "route split/2: no backendRefs and no redirect"},
        ),
        told(
            "split/3",
            "HTTPRoute shop/split rules[3]",
            matches=[match("exact", "/once")],
            timeout_ms=0,
            inherited=[["timeout", "annotations of HTTPRoute shop/split"]],
            retry={"statuses": [], "grpc_codes": [], "limit": 0, "backoff_ms": 0},
        ),
        told(
            "split/4",
            "HTTPRoute shop/split rules[4]",
            matches=[match("exact", "/unnamed")],
            retry={"statuses": [], "grpc_codes": [], "limit": 2, "backoff_ms": 0},
        ),
    ],
}
OPAQUE = {
    "service": {"namespace": "shop", "name": "web", "port": 6379},
    "protocol": "opaque",
    "retry_budget": None,
    "breaker": None,
    "no_match_not_found": False,
    "routes": [told("", "annotations of the Service", timeout_ms=2000)],
}


@pytest.mark.parametrize("resource", [["svc/web"], ["deploy/web"], []])
def test_policy(
    weft: Any, replicas: Any, kube: FakeKube, same: Callable[[str, str], None], resource: list[str]
) -> None:
    """The routes of a Service, of the Services that a workload's pods serve, or of all; what each does, who says so,
    and what does not hold."""
    labels = {"app": "web"}
    spec = {"selector": {"matchLabels": labels}}
    kube.put(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}
    )
    kube.put(pod("shop", "web-1", labels=labels))
    kube.put(service("shop", "web", "10.96.0.1"))
    fault = {"kind": "HTTPRoute", "namespace": "shop", "name": "lost", "message": "Accepted is False: no port 9"}
    for answers in replicas:
        answers["/debug/policy/shop/web?client=guests"] = (200, {"ports": [PORT, OPAQUE], "faults": [fault]})
    result = weft("diagnostics", "policy", *resource, "-n", "shop", "--client", "guests")
    assert (result.exit_code, result.stderr) == (0, "")
    same("diagnostics-policy-table.txt", result.stdout)
    asked = weft("diagnostics", "policy", *resource, "-n", "shop", "--client", "guests", "-o", "json")
    same("diagnostics-policy-json.txt", asked.stdout)


def test_replicas_that_differ_about_a_policy_are_named(weft: Any, replicas: Any, kube: FakeKube) -> None:
    """Requests are treated by what the replica says that their proxy is connected to."""
    kube.put(service("shop", "web", "10.96.0.1"))
    for answers, routes in zip(replicas, (PORT["routes"], []), strict=True):
        answers["/debug/policy/shop/web?client=shop"] = (200, {"ports": [PORT | {"routes": routes}], "faults": []})
    shown = weft("diagnostics", "policy", "svc/web", "-n", "shop")
    asked = json.loads(weft("diagnostics", "policy", "svc/web", "-n", "shop", "-o", "json").stdout)

    assert shown.stderr == (
        "replicas of destination differ: this is what destination-a says, not destination-b; if it stays so, compare "
        "their watches: `weft diagnostics controller-metrics`\n"
    )
    assert (asked["replica"], asked["differ"], asked["ports"]) == ("destination-a", ["destination-b"], [PORT])


@pytest.mark.usefixtures("kube")
@pytest.mark.parametrize("text", ["web", "web:http", "web.shop.x:80", ":80"])
def test_endpoints_of_nonsense(weft: Any, text: str) -> None:
    """One line says how to write it."""
    assert weft("diagnostics", "endpoints", text).stderr == (
        f"weft: {text!r} is not SVC:PORT. Write for example web:80 or web.shop:80.\n"
    )


def test_proxies(weft: Any, replicas: Any, same: Callable[[str, str], None]) -> None:
    """Of one namespace, or of all, whichever replica serves them."""
    row = {"namespace": "teahouse", "pod": "counter-1", "proxy_version": "0.1.0", "targets": 3, "waiting": 0}
    streams = [row | {"seconds": 7384.4}, row | {"namespace": "shop", "pod": "cart-1", "seconds": 12.5}]
    for answers, stream in zip(replicas, streams, strict=True):
        answers["/debug/streams"] = (200, {"streams": [stream]})
    for output in ("table", "json"):
        same(f"diagnostics-proxies-{output}.txt", weft("diagnostics", "proxies", "-o", output).stdout)
    assert len(weft("diagnostics", "proxies", "-n", "shop").stdout.splitlines()) == 2


def test_metrics_of_proxies_and_services(
    weft: Any, kube: FakeKube, pods: Any, same: Callable[[str, str], None]
) -> None:
    """Each pod under its name; what has no proxy is left out."""
    for where in ("teahouse/web-1:4191", "weft/destination-1:9990"):
        pods[where] = {"/metrics": (200, b"weft_proxy_info 1\n")}
    deployment = {
        "metadata": {"name": "web", "namespace": "teahouse"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}},
    }
    kube.put({"apiVersion": "apps/v1", "kind": "Deployment", **deployment})
    kube.put(pod("teahouse", "web-1", labels={"a": "b", "weft.dev/proxy-version": "0.1.0"}))
    kube.put(pod("teahouse", "web-2", labels={"a": "b"}))
    same("diagnostics-proxy-metrics.txt", weft("diagnostics", "proxy-metrics", "deploy/web").stdout)
    assert weft("diagnostics", "proxy-metrics", "po/web-2").stderr.startswith("weft: no pod of pod/web-2")
    destination = pod("weft", "destination-1", labels={"weft.dev/component": "destination"})
    destination["spec"]["containers"][0]["ports"] = [{"containerPort": 9990}]
    kube.put(destination)
    same("diagnostics-controller-metrics.txt", weft("diagnostics", "controller-metrics").stdout)
