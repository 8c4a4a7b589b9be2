"""What is wrong, and why: rules of ranking and of causes."""

from datetime import UTC, datetime

import msgspec
import pytest
from weft_kube.objects import Namespace, Pod
from weft_testkit.objects import namespace, pod
from weft_web.catalog import Rollout
from weft_web.denials import Denied
from weft_web.model import Check, Edge, Meshed, Ref, Row
from weft_web.problems import Evidence, Failures, ranked

ONE = Meshed(1, 1)


def row(name: str, success: float | None, meshed: Meshed = ONE) -> Row:
    """Deployment shop/NAME."""
    return Row("shop", "deployment", name, meshed, success=success, rps=1.0)


def ref(name: str) -> Ref:
    """Deployment shop/NAME."""
    return Ref("shop", "deployment", name)


def edge(src: str, dst: str, success: float) -> Edge:
    """Calls between two Deployments of shop."""
    return Edge(ref(src), ref(dst), "", "", "true", "", 1.0, success, 1)


def a_pod(state: str, *, meshed: bool = True) -> Pod:
    """A pod of Deployment shop/web, whose container waits for this reason."""
    labels = {"pod-template-hash": "5d4"} | ({"weft.dev/proxy-version": "1"} if meshed else {})
    made = pod("shop", "web-5d4-x", labels=labels, owner=("ReplicaSet", "web-5d4"))
    made["status"]["containerStatuses"] = [{"name": "app", "state": {"waiting": {"reason": state}}}]
    return msgspec.convert(made, Pod)


OLD = datetime(2026, 1, 1, 0, 6, tzinfo=UTC).timestamp()
"""When pods of `waiting` are six minutes old."""


def waiting(phase: str, *conditions: dict[str, str]) -> Pod:
    """A meshed pod of Deployment shop/web that began at 2026."""
    labels = {"pod-template-hash": "5d4", "weft.dev/proxy-version": "1"}
    made = pod("shop", "web-5d4-x", labels=labels, owner=("ReplicaSet", "web-5d4"), phase=phase)
    made["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    made["status"]["conditions"] = list(conditions)
    return msgspec.convert(made, Pod)


READY = {"type": "Ready", "status": "True"}
UNREADY = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}
ENDED = {"type": "Ready", "status": "False", "reason": "PodCompleted"}
UNPLACED = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 Insufficient memory."}
FULL = "Pending for 6 min: 0/3 nodes are available: 3 Insufficient memory."


@pytest.mark.parametrize(
    ("found", "now", "told"),
    [
        (waiting("Pending", UNPLACED), OLD, [f"web-5d4-x is {FULL}"]),
        (waiting("Pending"), OLD, ["web-5d4-x is Pending for 6 min"]),
        (waiting("Running", UNREADY), OLD, ["web-5d4-x is Running, but not ready"]),
        (waiting("Running", READY), OLD, []),
        (waiting("Running", ENDED), OLD, []),
        (waiting("Succeeded", ENDED), OLD, []),
        (waiting("Pending", UNPLACED), OLD - 120, []),
        (waiting("Running", UNREADY), OLD - 120, []),
    ],
)
def test_pods_have_five_minutes_to_become_ready(found: Pod, now: float, told: list[str]) -> None:
    """After that, waiting is trouble, and what the scheduler says is told."""
    assert [one.cause for one in ranked(Evidence(pods=[found], now=now))] == told


@pytest.mark.parametrize(("left", "severity"), [(50, "warning"), (10, "critical"), (-1, "critical")])
def test_how_bad_a_late_certificate_is_depends_on_its_life(left: float, severity: str) -> None:
    """One of five minutes that has 50 s left may be renewed yet."""
    assert [one.severity for one in ranked(Evidence(expiry={ref("web"): left}, lifetime=300))] == [severity]


def test_a_healthy_mesh_has_no_problem() -> None:
    """Good answers, silence, good checks and pods that are not in the mesh are none."""
    evidence = Evidence(
        rows=[row("web", 1.0), row("idle", None), row("plain", None, Meshed(0, 3))],
        edges=[edge("web", "db", 0.99)],
        pods=[a_pod("CrashLoopBackOff", meshed=False)],
        namespaces=[msgspec.convert(namespace("shop"), Namespace)],
        checks=[Check("a", "viz", "A", "success")],
    )
    assert ranked(evidence) == []


def test_causes_come_before_what_follows_from_them() -> None:
    """web fails because menu does, and menu because kettle does: kettle is first, web last, though it fails most."""
    evidence = Evidence(
        rows=[row("web", 0.2), row("menu", 0.3), row("kettle", 0.5)],
        edges=[edge("web", "menu", 0.3), edge("menu", "kettle", 0.5)],
        failures={ref("kettle"): [Failures(12, "200", "14", "spiffe://d/ns/shop/sa/menu", "Brew")]},
    )
    first, *others = ranked(evidence)
    assert (first.title, first.cause, first.evidence) == (
        "deployment/kettle in shop: 50.00 % of its answers are good",
        "it answers gRPC 14 itself: what it calls is well",
        ["12 times gRPC 14 to shop/menu, route Brew"],
    )
    assert [one.cause for one in others] == [
        "its calls to deployment/kettle fail: 50.00 % are good",
        "its calls to deployment/menu fail: 30.00 % are good",
    ]


def test_those_who_call_each_other_in_a_ring_are_told_all_the_same() -> None:
    """None of them began it."""
    evidence = Evidence(
        rows=[row("a", 0.2), row("b", 0.3)], edges=[edge("a", "b", 0.3), edge("b", "a", 0.2), edge("a", "a", 0.1)]
    )
    assert {one.cause for one in ranked(evidence)} == {
        "its calls to deployment/b fail: 30.00 % are good",
        "its calls to deployment/a fail: 20.00 % are good",
    }


def test_pods_that_are_not_well_are_a_cause() -> None:
    """Rather than a problem of their own beside it."""
    evidence = Evidence(rows=[row("web", 0.5)], pods=[a_pod("CrashLoopBackOff")])
    assert [one.cause for one in ranked(evidence)] == ["its pods are not well: web-5d4-x is CrashLoopBackOff"]


def test_a_recent_rollout_is_a_cause() -> None:
    """A new version that began before the failures."""
    evidence = Evidence(rows=[row("web", 0.5)], rollouts={ref("web"): Rollout("web-5d4", 3, 1000.0)}, now=1180.0)
    assert [one.cause for one in ranked(evidence)] == ["a new version began 3 min ago: web-5d4, revision 3"]


def test_a_proxy_that_answers_for_the_application_is_the_cause() -> None:
    """Its own errors are half of the failed answers or more."""
    failures = {ref("web"): [Failures(10, "502", "", "", "")]}
    evidence = Evidence(rows=[row("web", 0.5)], failures=failures, errors={ref("web"): {"E111": 8.0}})
    assert [one.cause for one in ranked(evidence)] == ["its proxy answers for it: E111 the connection was lost"]


def test_calls_that_fail_on_the_way_are_told() -> None:
    """Neither end is at fault: the caller's proxy knows the code."""
    evidence = Evidence(
        rows=[row("web", 1.0), row("db", 1.0)], edges=[edge("web", "db", 0.5)], errors={ref("web"): {"E103": 5.0}}
    )
    (found,) = ranked(evidence)
    assert found.title == "deployment/web in shop → deployment/db: 50.00 % of its calls succeed"
    assert found.cause == "the server's own proxies see no such failures: they happen on the way"
    assert found.evidence == ["5 times E103 connecting failed"]


def test_a_caller_that_is_gone_is_no_problem() -> None:
    """Its calls stay in the window for a while."""
    assert ranked(Evidence(rows=[row("db", 1.0)], edges=[edge("web", "db", 0.5)])) == []


def test_problems_have_ids_of_their_own() -> None:
    """A page tells them apart by these: one caller fails towards two servers, and towards one in two ways."""
    plain = edge("web", "db", 0.5)
    plain.tls = "no_identity"
    found = ranked(Evidence(rows=[row("web", 1.0)], edges=[edge("web", "db", 0.5), edge("web", "cache", 0.5), plain]))
    assert len({one.id for one in found}) == len(found) == 3


@pytest.mark.parametrize(
    ("evidence", "part"),
    [
        (Evidence(pods=[a_pod("ImagePullBackOff")]), "pods are not well"),
        (Evidence(expiry={ref("web"): 600.0}), "its certificate ends in 10 min"),
        (Evidence(pods=[waiting("Pending")], now=OLD), "pods are not well"),
        (Evidence(expiry={ref("web"): -1.0}), "its certificate has ended"),
        (Evidence(disconnected={ref("web"): 2}), "2 proxies have no tie to the control plane"),
        (Evidence(errors={ref("web"): {"E106": 3.0}}), "counted 3 times E106"),
        (Evidence(rows=[row("web", 1.0, Meshed(1, 3))]), "2 of 3 pods have no proxy"),
        (Evidence(checks=[Check("a", "viz", "Scrapes", "warning", "1 of 2 fail")]), "Scrapes"),
    ],
)
def test_each_trouble_of_the_mesh_is_named(evidence: Evidence, part: str) -> None:
    """One problem, and nothing else."""
    (found,) = ranked(evidence)
    assert part in found.title


def test_an_unmeshed_workload_of_a_marked_namespace_is_told() -> None:
    """It was started before the namespace was marked."""
    marked = msgspec.convert({"metadata": {"name": "shop", "labels": {"weft.dev/inject": "enabled"}}}, Namespace)
    (found,) = ranked(Evidence(rows=[row("web", None, Meshed(0, 2))], namespaces=[marked]))
    assert found.hint == "kubectl -n shop rollout restart deploy/web"


def test_denied_calls_are_told_with_who_denies_whom() -> None:
    """What policies deny apart from what drafts in audit would deny, the most frequent first."""
    cart, menu = "spiffe://d/ns/shop/sa/cart", "policy shop/menu"
    denied = {
        ref("web"): [Denied(3, menu, "enforce", ""), Denied(9, menu, "enforce", cart), Denied(1, "p", "audit", cart)]
    }
    first, second = ranked(Evidence(denied=denied))
    assert (first.title, first.cause, first.hint) == (
        "deployment/web in shop: policies denied 12 calls",
        "policy shop/menu does not let shop/cart in",
        "weft -n shop authz list deploy/web",
    )
    assert first.evidence == [
        "9 times shop/cart by policy shop/menu",
        "3 times clients outside the mesh by policy shop/menu",
    ]
    assert second.title == "deployment/web in shop: policies in audit would have denied 1 calls"
