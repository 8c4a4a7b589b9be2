"""`weft why`: from evidence to the likeliest cause. Each fault is a healthy shop with one thing changed."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft.views import causes as views
from weft.why import parse
from weft.why.failing import joined, path
from weft.why.model import Call, Container, Declared, Event, Evidence, Pod, Policy, Port, Ref, Service, Workload
from weft.why.rank import causes
from weft_testkit.objects import endpoint, endpoint_slice, service

NOW = 10_000.0
WEB, DB, CROWD = (Ref("shop", "deployment", name) for name in ("web", "db", "crowd"))
PROXY = Container("weft-proxy")
WEB_POD = Pod(
    "shop", "web-1", WEB, {"app": "web"}, containers=(PROXY, Container("app")), ports=(Declared(8080, "http"),)
)
DB_PODS = tuple(
    Pod("shop", f"db-{n}", DB, {"app": "db"}, containers=(PROXY, Container("app")), ports=(Declared(5000, "pg"),))
    for n in (1, 2)
)
SERVICES = (
    Service("shop", "web", {"app": "web"}, (Port(80, "8080"),)),
    Service("shop", "db", {"app": "db"}, (Port(80, "5000"),), ready=2),
)
MADE = (Workload(WEB, labels={"app": "web"}), Workload(DB, 2, {"app": "db"}))


def asked(path: str = "/", **changes: Any) -> Call:
    """The web asks the db."""
    call = Call(True, WEB, DB, service="db", pod="db-1", method="GET", path=path, latency=0.01, at=NOW - 30)
    return replace(call, **changes)


def got(**changes: Any) -> Call:
    """The crowd asks the web."""
    return replace(Call(False, CROWD, WEB, pod="web-1", method="GET", path="/", latency=0.02, at=NOW - 30), **changes)


def failed(error: str = "", **changes: Any) -> Call:
    """The web asks the db in vain; an error is one of the web's proxy, which then reached nobody."""
    nobody = {"dst": Ref("shop", "", ""), "pod": ""} if error.startswith(("E104", "E102", "E105")) else {}
    return asked(**{"failed": True, "status": 503, "error": error, **nobody, **changes})


HEALTHY = Evidence(
    WEB,
    NOW,
    calls=tuple([got()] * 20 + [asked(pod=f"db-{n % 2 + 1}", path=f"/{n % 3}") for n in range(20)]),
    pods=(WEB_POD, *DB_PODS),
    services=SERVICES,
    workloads=MADE,
    expiry={("shop", "web-1"): NOW + 3600},
)


def with_calls(*calls: Call, **changes: Any) -> Evidence:
    """The healthy shop, with more calls and changes."""
    return replace(HEALTHY, calls=(*HEALTHY.calls, *calls), **changes)


def db_pods(container: Container | None = None, **changes: Any) -> tuple[Pod, ...]:
    """All pods, those of the db changed, and not ready if a container is given."""
    if container:
        changes |= {"containers": (PROXY, container), "ready": False}
    return (WEB_POD, *(replace(pod, **changes) for pod in DB_PODS))


def db_service(**changes: Any) -> tuple[Service, ...]:
    """Both Services, the db's changed."""
    return (SERVICES[0], replace(SERVICES[1], **changes))


NO_ENDPOINTS = [failed("E104 no ready endpoints of svc/db.shop:80")] * 3
REFUSED = [failed("E103 cannot connect to 10.0.0.7:5001: Connection refused (os error 111)")] * 3
DROPPED = [failed("E103 cannot connect to 10.0.0.7:5000: Connection timed out")] * 3
LATE = [failed("E105 no response within the time that the route allows", route="slow")] * 3
APP = Container("app", ready=False, running=False)
SERVED = [Call(False, WEB, DB, pod="db-1", latency=0.05, at=NOW - 20)] * 5

FAULTS = {
    "crash-loop": with_calls(
        *NO_ENDPOINTS,
        pods=db_pods(replace(APP, waiting="CrashLoopBackOff", ended="Error", exit_code=3, restarts=4)),
        services=db_service(ready=0),
    ),
    "oom-killed": with_calls(
        *NO_ENDPOINTS,
        pods=db_pods(replace(APP, waiting="CrashLoopBackOff", ended="OOMKilled", exit_code=137, restarts=4)),
        services=db_service(ready=0),
    ),
    "image-pull": with_calls(
        *NO_ENDPOINTS, pods=db_pods(replace(APP, waiting="ImagePullBackOff")), services=db_service(ready=0)
    ),
    "container-config": with_calls(
        *NO_ENDPOINTS, pods=db_pods(replace(APP, waiting="CreateContainerConfigError")), services=db_service(ready=0)
    ),
    "readiness": with_calls(*NO_ENDPOINTS, pods=db_pods(Container("app", ready=False)), services=db_service(ready=0)),
    "unschedulable": with_calls(
        *NO_ENDPOINTS,
        pods=db_pods(ready=False, unschedulable="0/1 nodes are available: insufficient cpu", containers=()),
        services=db_service(ready=0),
    ),
    "scaled-to-zero": with_calls(
        *NO_ENDPOINTS, pods=(WEB_POD,), services=db_service(ready=0), workloads=(MADE[0], replace(MADE[1], replicas=0))
    ),
    "pods-refused": replace(
        HEALTHY,
        calls=(),
        pods=(),
        services=(),
        events=(Event(Ref("shop", "replicaset", "web-5d4"), "FailedCreate", "exceeded quota", NOW - 9),),
    ),
    "selector-matches-no-pod": with_calls(*NO_ENDPOINTS, services=db_service(ready=0, selector={"app": "bd"})),
    "service-without-selector": with_calls(*NO_ENDPOINTS, services=db_service(ready=0, selector={})),
    "wrong-target-port": with_calls(*REFUSED, services=db_service(ports=(Port(80, "5001"),))),
    "connection-refused": with_calls(*REFUSED),
    "packets-dropped": with_calls(*DROPPED),
    "network-policy": with_calls(*DROPPED, policies=(Policy("shop", "deny-all", {"app": "db"}),)),
    "denied": with_calls(asked(status=403, error="E114 denied by shop/db#1")),
    "rate-limited": with_calls(asked(status=429, error="E115 rate limit of shop/db")),
    "policy-unknown": with_calls(failed("E116 no policy for port 5000", status=502)),
    "egress-denied": with_calls(asked(status=403, error="E117 denied by shop/out", dst=Ref("", "", ""), service="")),
    "timeout-too-small": with_calls(*LATE, *SERVED, timeouts={("shop", "db", "slow"): 0.005}),
    "slow-server": with_calls(*LATE, *(replace(one, latency=2.0) for one in SERVED)),
    "one-pod": replace(
        HEALTHY,
        calls=tuple([got()] * 9 + [failed(pod="db-2", status=500)] * 9 + [asked(pod="db-1")] * 9),
    ),
    "one-route": with_calls(*[failed(path="/brew/oolong", status=500)] * 5),
    "rollout": replace(
        HEALTHY,
        calls=tuple([asked(at=NOW - 90)] * 9 + [failed(status=500, at=NOW - 30)] * 9),
        workloads=(MADE[0], replace(MADE[1], rolled_out=NOW - 60)),
    ),
    "application-error": replace(HEALTHY, calls=tuple([failed(status=500), asked()] * 5)),
    "certificate": with_calls(
        *[failed("E106 mesh TLS to db: certificate expired")] * 3, expiry={("shop", "db-1"): NOW - 60}
    ),
    "identity": with_calls(*[failed("E106 mesh TLS to db: not the expected identity")] * 3),
    "control-plane-destination": with_calls(
        *[failed("E102 10.0.0.9:80 is unknown", service="")] * 3, unready={"destination": "none of 1 is ready"}
    ),
    "destination-unreachable": with_calls(*[failed("E102 10.0.0.9:80 is unknown", service="")] * 3),
    "protocol": with_calls(*[failed("E108 invalid HTTP version")] * 3),
    "connection-lost": with_calls(*[failed("E111 connection reset")] * 3),
    "overloaded": with_calls(*[failed("E110 too many requests wait for db")] * 3),
    "not-injected": replace(HEALTHY, calls=(), pods=(replace(WEB_POD, meshed=False), *DB_PODS)),
    "injection-skipped": replace(
        HEALTHY,
        calls=(),
        pods=(replace(WEB_POD, meshed=False), *DB_PODS),
        events=(Event(Ref("shop", "replicaset", "web-5d4"), "InjectionSkipped", "hostNetwork is set"),),
    ),
    "dns-name": with_calls(*[got(failed=True, status=502)] * 5, unknown_names=("bd.shop",)),
    "proxy-not-ready": replace(
        HEALTHY, calls=(), pods=(replace(WEB_POD, containers=(replace(PROXY, ready=False),)), *DB_PODS)
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_cause_is_the_fault(fault: str) -> None:
    """Whatever else follows from it comes later."""
    assert causes(FAULTS[fault])[0].id == fault


def test_a_healthy_system_has_no_cause() -> None:
    """One failure among a hundred calls is no trouble either, nor what clients cancelled."""
    assert causes(HEALTHY) == []
    assert causes(with_calls(*[asked()] * 80, failed(status=500))) == []


@pytest.mark.parametrize(("ago", "expected"), [(60.0, ["oom-killed"]), (86_400.0, [])])
def test_what_is_long_past_is_no_cause(ago: float, expected: list[str]) -> None:
    """A container that was killed a minute ago is in trouble, one that was yesterday is not."""
    app = Container("app", restarts=1, ended="OOMKilled", ended_at=NOW - ago)
    found = causes(replace(HEALTHY, pods=(replace(WEB_POD, containers=(PROXY, app)), *DB_PODS)))
    assert expected == [cause.id for cause in found]


REFUSAL = Event(Ref("shop", "replicaset", "web-5d4"), "FailedCreate", "exceeded quota", NOW - 9)
NEIGHBOURS = (
    Ref("shop", "replicaset", "web-admin-5d4"),
    Ref("shop", "statefulset", "web-admin"),
    Ref("shop", "statefulset", "web"),
    Ref("payments", "replicaset", "web-5d4"),
)


@pytest.mark.parametrize(("target", "expected"), [("pg", "connection-refused"), ("gp", "wrong-target-port")])
def test_a_target_port_may_be_a_name(target: str, expected: str) -> None:
    """It leads to the container's port of that name: only a name that no pod has is wrong."""
    assert causes(with_calls(*REFUSED, services=db_service(ports=(Port(80, target),))))[0].id == expected


def test_a_namesake_whose_port_is_wrong_is_not_the_cause() -> None:
    """The db of another namespace is refused; this one leads to where it should not, and nobody calls it."""
    other = replace(SERVICES[1], namespace="payments")
    calls = [replace(call, dst=Ref("payments", "deployment", "db"), pod="") for call in REFUSED]
    wrong = replace(SERVICES[1], ports=(Port(80, "5001"),))
    asked_about = replace(HEALTHY, subject=DB, calls=tuple(calls), services=(wrong, other))
    assert "wrong-target-port" not in {cause.id for cause in causes(asked_about)}


@pytest.mark.parametrize("about", NEIGHBOURS, ids=lambda ref: f"{ref.namespace}/{ref}")
@pytest.mark.parametrize("reason", ["FailedCreate", "InjectionSkipped"])
def test_what_befalls_a_neighbour_is_no_cause(about: Ref, reason: str) -> None:
    """A name that begins alike, another kind, another namespace: its events are not the web's."""
    bare = (replace(WEB_POD, meshed=reason == "FailedCreate"), *DB_PODS)
    found = causes(replace(HEALTHY, calls=(), pods=bare, events=(replace(REFUSAL, about=about, reason=reason),)))
    assert [cause.id for cause in found] == ([] if reason == "FailedCreate" else ["not-injected"])


def test_refused_pods_of_a_service_are_those_that_it_selects() -> None:
    """Whatever the workload is called."""
    made = (replace(MADE[0], ref=Ref("shop", "deployment", "shop-front")),)
    refused = replace(REFUSAL, about=Ref("shop", "replicaset", "shop-front-5d4"))
    asked_about = Evidence(Ref("shop", "service", "web"), NOW, services=(replace(SERVICES[0], ready=0),))
    found = causes(replace(asked_about, workloads=made, events=(refused,)))
    assert [cause.id for cause in found] == ["pods-refused", "no-ready-endpoints"]


NEW_POD = replace(DB_PODS[1], name="db-3", created=NOW - 40)
STARTING = replace(
    NEW_POD, name="db-4", created=NOW - 5, ready=False, containers=(PROXY, Container("app", ready=False))
)
ROLLING = replace(
    HEALTHY,
    pods=(WEB_POD, *DB_PODS, NEW_POD, STARTING),
    workloads=(MADE[0], replace(MADE[1], rolled_out=NOW - 60)),
)


@pytest.mark.parametrize("age", [5, 600])
def test_a_bad_version_that_is_still_rolled_out(age: float) -> None:
    """The first pod of it fails, the next one is not ready yet: the version is the cause, not one of its pods."""
    bad = [failed(status=500, pod="db-3", at=NOW - 30)] * 9
    pods = (*ROLLING.pods[:-1], replace(STARTING, created=NOW - age))
    before = [asked(pod=f"db-{n % 2 + 1}", at=NOW - 90 + 30 * (n % 3)) for n in range(9)]
    assert causes(replace(ROLLING, calls=(*before, *bad), pods=pods))[0].id == "rollout"


def test_a_rollout_that_goes_well_is_no_trouble() -> None:
    """A pod that starts beside others that are ready fails nobody; one that never gets ready is told."""
    assert causes(replace(ROLLING, subject=DB)) == []
    stuck = (*ROLLING.pods[:-1], replace(STARTING, created=NOW - 600))
    assert [cause.id for cause in causes(replace(ROLLING, subject=DB, pods=stuck))] == ["readiness"]


def test_a_pod_that_nobody_misses_comes_after_what_fails_calls() -> None:
    """Calls to its sister fail on one route; calls to itself would name it."""
    crashes = replace(APP, waiting="CrashLoopBackOff", ended="Error", exit_code=3, restarts=4)
    pods = (WEB_POD, DB_PODS[0], replace(DB_PODS[1], ready=False, containers=(PROXY, crashes)))
    calls = [asked(), failed(status=500, path="/brew")] * 9
    assert next(cause.id for cause in causes(replace(HEALTHY, calls=tuple(calls), pods=pods))) == "one-route"
    hit = [asked(), failed(status=502, pod="db-2")] * 9
    assert next(cause.id for cause in causes(replace(HEALTHY, calls=tuple(hit), pods=pods))) == "crash-loop"


def test_what_a_namesake_in_another_namespace_has_is_not_its_own() -> None:
    """Endpoints and revisions."""
    slices = [endpoint_slice("shop", "db-1", "db", [endpoint("10.1.2.3")])]
    made = {"metadata": {"namespace": "payments", "name": "db"}, "spec": {"template": {"metadata": {"labels": {}}}}}
    owned = {"ownerReferences": [{"kind": "Deployment", "name": "db"}], "creationTimestamp": "2026-01-01T00:00:00Z"}
    revisions = [{"metadata": {"namespace": space, **owned}} for space in ("shop", "shop", "payments")]
    assert parse.service(service("payments", "db"), slices).ready == 0
    assert parse.service(service("shop", "db"), slices).ready == 1
    assert parse.workload("deployment", made, revisions).rolled_out == 0
    made["metadata"]["namespace"] = "shop"
    assert parse.workload("deployment", made, revisions).rolled_out > 0


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_version_that_came_back_is_not_new(kind: str) -> None:
    """In use is what has the highest revision. After `kubectl rollout undo` the youngest is gone, and no rollout is
    blamed: to undo it again would bring the bad version back. A namesake of another kind has its own versions."""
    made = {"metadata": {"namespace": "shop", "name": "db"}, "spec": {}}

    def rolled_out(*revisions: int, kind_of_youngest: str = kind) -> float:
        kinds = [*[kind] * (len(revisions) - 1), kind_of_youngest]
        held = [version(one, number, minute) for minute, (one, number) in enumerate(zip(kinds, revisions, strict=True))]
        return parse.workload(kind.lower(), made, held).rolled_out

    assert (rolled_out(1), rolled_out(1, 2), rolled_out(1, 9, 10)) == (0, MIDNIGHT + 60, MIDNIGHT + 120)
    assert (rolled_out(3, 2), rolled_out(1, 10, 9)) == (0, 0)
    assert rolled_out(1, 2, kind_of_youngest="ReplicaSet") == 0


MIDNIGHT = 1_767_225_600.0


def version(kind: str, number: int, minute: int) -> dict[str, Any]:
    """A ReplicaSet or ControllerRevision of the db, made so many minutes after midnight."""
    created = f"2026-01-01T00:{minute:02}:00Z"
    metadata = {"namespace": "shop", "ownerReferences": [{"kind": kind, "name": "db"}], "creationTimestamp": created}
    if kind != "Deployment":
        return {"metadata": metadata, "revision": number}
    return {"metadata": metadata | {"annotations": {"deployment.kubernetes.io/revision": str(number)}}}


def test_the_trouble_is_followed_to_where_it_begins() -> None:
    """The web fails because the db does, the db because of the disk that it calls: the disk is the cause."""
    disk = Ref("shop", "deployment", "disk")
    deep = Call(True, DB, disk, service="disk", pod="disk-1", failed=True, status=500, at=NOW - 30)
    evidence = with_calls(*[got(failed=True, status=500)] * 9, *[failed(status=500)] * 9, *[deep] * 9)
    assert causes(evidence)[0].title.startswith("deployment/disk itself answers HTTP 500")
    assert path(evidence) == ("deployment/web", "deployment/db", "deployment/disk")


def test_a_name_that_exists_is_not_wrong() -> None:
    """DNS was away for a moment: what proxies see now counts more."""
    found = [cause.id for cause in causes(with_calls(*REFUSED, unknown_names=("db",)))]
    assert found == ["connection-refused", "dns"]
    assert causes(replace(HEALTHY, unknown_names=("db",))) == []


def test_a_control_plane_that_nobody_misses_is_no_cause() -> None:
    """Proxies go on with what they know: what they say of a call counts more."""
    assert causes(with_calls(*REFUSED, unready={"destination": "none of 1 is ready"}))[0].id == "connection-refused"


def test_a_breaker_is_named_only_behind_its_reason() -> None:
    """What made it open comes first."""
    found = [cause.id for cause in causes(with_calls(*REFUSED, breakers={"db.shop": 2}))]
    assert found == ["connection-refused", "breaker-open"]


def test_both_sides_of_a_call_are_joined() -> None:
    """The client saw 502 and nothing else; the server's proxy knows why."""
    inside = Call(False, WEB, DB, pod="db-1", method="GET", path="/", failed=True, error="E103 refused", at=NOW - 29)
    seen = joined([failed(status=502)] * 3 + [inside] * 3)
    assert {call.code for call in seen} == {"E103"}
    assert causes(replace(HEALTHY, calls=seen))[0].id == "connection-refused"


@given(st.sampled_from(sorted(FAULTS)), st.randoms(use_true_random=False))
def test_the_order_of_evidence_does_not_matter(fault: str, random: Any) -> None:
    """Pods, Services and calls come in any order; the first cause is the same."""
    evidence = FAULTS[fault]
    shuffled = {
        name: random.sample(getattr(evidence, name), len(getattr(evidence, name))) for name in ("calls", "pods")
    }
    found = causes(replace(evidence, **{name: tuple(values) for name, values in shuffled.items()}))
    assert found[0].id == causes(evidence)[0].id
    assert found == sorted(found, key=lambda cause: -cause.weight)


CALLS = st.builds(
    Call,
    outbound=st.booleans(),
    src=st.sampled_from([WEB, DB, CROWD]),
    dst=st.sampled_from([WEB, DB, Ref("shop", "", "")]),
    service=st.sampled_from(["", "db", "web", "gone"]),
    failed=st.booleans(),
    error=st.sampled_from(["", *(f"E1{n:02} because" for n in range(1, 12))]),
    latency=st.floats(0, 10),
)


@given(st.lists(CALLS, max_size=30))
def test_causes_are_named_only_when_calls_fail(calls: list[Call]) -> None:
    """And each has a next step; a title comes once."""
    found = causes(replace(HEALTHY, calls=tuple(calls)))
    assert not found or any(call.failed or call.latency > 1 for call in calls)
    assert all(cause.fix and 0 < cause.weight <= 100 for cause in found)
    assert len({cause.title for cause in found}) == len(found)


def test_text_and_json(same: Any) -> None:
    """The cause, its evidence, the fix, then what else could be."""
    evidence = FAULTS["crash-loop"]
    same("why-table.txt", views.text(evidence, causes(evidence)) + "\n")
    same("why-healthy.txt", views.text(HEALTHY, []) + "\n")
    from weft.views.table import document

    same("why-json.txt", document(views.document(evidence, causes(evidence))) + "\n")


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("dial tcp: lookup menuu on 10.96.0.10:53: no such host", {"menuu"}),
        ("Error: getaddrinfo ENOTFOUND menuu.shop", {"menuu.shop"}),
        ("Cannot connect to host cashierr:8000 ssl:default [Name or service not known]", {"cashierr"}),
        ("curl: (6) Could not resolve host: menuu", {"menuu"}),
        ("DNS resolution failed for menuu:9090: C-ares status", {"menuu"}),
        ("all is well with the lookup of 10.0.0.1", set()),
        ("Cannot connect to host till:80 ssl:default [Connect call failed] and later: [Name or service]", set()),
    ],
)
def test_names_that_cannot_be_resolved(log: str, expected: set[str]) -> None:
    """As Go, Node.js, aiohttp, curl and gRPC say it."""
    assert expected == parse.unresolved(log)
