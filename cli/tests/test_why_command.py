"""`weft why` against a Kubernetes API on a socket: what is read, and what comes of it."""

import json
from typing import Any

import pytest
from weft.cluster import Kube
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import endpoint, endpoint_slice, namespace, pod, service

EXCHANGE: dict[str, Any] = {
    "id": 7,
    "direction": "outbound",
    "namespace": "teahouse",
    "pod": "web-5d4-1",
    "method": "GET",
    "path": "/cups",
    "status": 503,
    "result": "failure",
    "started_us": 4_000_000_000_000_000,
    "dst_namespace": "teahouse",
    "dst_service": "db",
    "error": "E104 no ready endpoints of svc/db.teahouse:80",
}


def replica(name: str, app: str, **status: Any) -> dict[str, Any]:
    """A meshed pod of a Deployment."""
    labels = {"app": app, "pod-template-hash": "5d4", "weft.dev/proxy-version": "0.1.0"}
    found = pod("teahouse", name, labels=labels, owner=("ReplicaSet", f"{app}-5d4"))
    found["status"] |= status
    return found


def deployment(name: str) -> dict[str, Any]:
    """Two labels are enough to find its pods."""
    meta, spec = {"name": name, "namespace": "teahouse"}, {"selector": {"matchLabels": {"app": name}}, "replicas": 1}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


@pytest.fixture
def shop(kube: FakeKube, web: Any, answers: Any, monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    """A web whose proxy says that the db has no endpoints; the db crashes."""
    crash = {"waiting": {"reason": "CrashLoopBackOff"}}
    app = {"name": "app", "ready": False, "restartCount": 3, "state": crash}
    app["lastState"] = {"terminated": {"reason": "Error", "exitCode": 3}}
    proxy = {"name": "weft-proxy", "ready": True, "state": {"running": {}}}
    kube.put(namespace("teahouse"))
    for obj in (deployment("web"), deployment("db"), service("teahouse", "db"), service("teahouse", "web")):
        kube.put(obj)
    kube.put(endpoint_slice("teahouse", "db-1", "db", []))
    kube.put(endpoint_slice("teahouse", "web-1", "web", [endpoint("10.1.2.3")]))
    kube.put(replica("web-5d4-1", "web", containerStatuses=[proxy, proxy | {"name": "app"}]))
    kube.put(replica("db-5d4-1", "db", containerStatuses=[app, proxy]))
    kube.on_request("GET", ".*/tap", lambda _: EXCHANGE)
    kube.on_request("GET", ".*/log", lambda _: {"level": "error", "message": "Could not resolve host: bd"})
    answers["/metrics"] = (200, b"weft_identity_expiry_timestamp_seconds 4000000000\n")
    monkeypatch.setattr(Kube, "forward", lambda *_: web())
    monkeypatch.setattr("weft.why.failing.FEW", 1)
    return kube


@pytest.mark.parametrize(
    "what",
    [
        "deploy/web",
        "po/web-5d4-1",
        "svc/db",
        "web-5d4-1/7",
        "teahouse/web-5d4-1/7",
        "E104 no ready endpoints of svc/db.teahouse:80",
    ],
)
def test_the_cause_is_found_from_every_end(weft: Any, shop: FakeKube, what: str) -> None:
    """Workload, pod, Service, request or error: the db crashes."""
    result = weft("why", what, "-o", "json")
    found = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, found["causes"][0]["id"]) == (0, "", "crash-loop")


def test_names_of_the_log_are_a_cause(weft: Any, shop: FakeKube) -> None:
    """After what is surer."""
    assert "deployment/web calls bd, a name that DNS does not know" in weft("why", "deploy/web").stdout


def test_what_may_not_be_read_is_told(weft: Any, shop: FakeKube) -> None:
    """And the rest is looked at all the same."""
    shop.on_request("GET", ".*/tap", lambda _: (403, {"kind": "Status", "message": "deployments/tap is forbidden"}))
    result = weft("why", "deploy/db")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (
        0,
        "container app of deployment/db crashes again and again",
    )
    assert result.stderr.startswith("could not look at requests: no permission: deployments/tap is forbidden")


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (["deploy/none"], "there is no deployment/none in namespace teahouse."),
        (["web-5d4-1/8"], "the proxy of web-5d4-1 no longer holds request 8."),
        (["deploy"], "why needs one workload, pod or Service."),
        (["ns/teahouse"], "why needs one workload, pod or Service."),
    ],
)
def test_refusals_are_one_line(weft: Any, shop: FakeKube, what: list[str], expected: str) -> None:
    """With the next step."""
    result = weft("why", *what)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert result.stderr.startswith(f"weft: {expected}")


PROBLEM: dict[str, Any] = {
    "id": "failing:teahouse/deployment/counter",
    "severity": "critical",
    "namespace": "teahouse",
    "title": "deployment/counter in teahouse: 82 % of its answers are good",
    "cause": "its calls to service/kettle fail: 60 % are good",
    "evidence": ["120 answers 503", "31 times E104 no ready endpoints"],
    "hint": "weft why deploy/counter -n teahouse",
    "link": "/namespaces/teahouse/deployment/counter",
}


@pytest.mark.usefixtures("forwarded")
@pytest.mark.parametrize(
    ("options", "query"),
    [
        ((), "namespace=%2A&window=120s"),
        (("-n", "teahouse", "--since", "5m"), "namespace=teahouse&window=300s"),
    ],
)
def test_what_is_wrong_in_all(weft: Any, kube: FakeKube, answers: Any, *, same: Any, options: Any, query: str) -> None:
    """Without an argument: every problem that the dashboard's Home shows, in its order."""
    kube.put(namespace("teahouse"))
    beside = PROBLEM | {"severity": "warning", "title": "weft-web: 1 of 2 pods is ready", "cause": "", "evidence": []}
    found = {"window_seconds": 120, "problems": [PROBLEM, beside], "workloads": 5, "warnings": []}
    answers[f"/api/v1/problems?{query}"] = (200, found)
    result = weft("why", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    same("why-problems.txt", result.stdout)
    assert json.loads(weft("why", *options, "-o", "json").stdout) == found


@pytest.mark.usefixtures("forwarded", "kube")
@pytest.mark.parametrize(
    ("workloads", "warnings", "expected"),
    [
        (5, [], "nothing is wrong: workloads that were called within the last 120 s: 5\n"),
        (0, [], "nothing wrong was found, but no workload has numbers: none is in the mesh, or none was scraped yet\n"),
        (0, ["Prometheus does not answer"], "nothing wrong was found, and not everything could be looked at\n"),
    ],
)
def test_no_problem_is_not_always_good(
    weft: Any, answers: Any, workloads: int, warnings: list[str], expected: str
) -> None:
    """Nothing to see is told apart from nothing wrong; what could not be looked at makes it fail."""
    found = {"window_seconds": 120, "problems": [], "workloads": workloads, "warnings": warnings}
    answers["/api/v1/problems?namespace=%2A&window=120s"] = (200, found)
    result = weft("why")
    assert (result.exit_code, result.stdout) == (1 if warnings else 0, expected)
    assert result.stderr == ("weft: Prometheus does not answer. See `weft check`.\n" if warnings else "")


@pytest.mark.usefixtures("forwarded", "kube")
def test_problems_of_a_namespace_that_there_is_not(weft: Any) -> None:
    """Is no healthy one."""
    result = weft("why", "-n", "teahose")
    assert (result.exit_code, result.stderr) == (
        1,
        "weft: there is no namespace teahose. Name another by -n, or all by -A.\n",
    )
