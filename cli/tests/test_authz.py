"""authz: who may call, why, what was observed, and what a draft would deny of it."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from weft import taps
from weft.access import routes
from weft.access.model import Call, combined, merged
from weft.access.suggest import policy
from weft_destination.policy.evaluate import Attempt, decide
from weft_destination.policy.model import Decision, Default
from weft_destination.policy.read import read_policy
from weft_sp_validator.access import faults_of
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import pod

Json = dict[str, Any]
Same = Callable[[str, str], None]

COUNTER = "spiffe://cluster.local/ns/teahouse/sa/counter"
EVE = "spiffe://cluster.local/ns/dev/sa/eve"
YES = {"allowed": True, "by": "teahouse/menu"}
NO = {"allowed": False, "by": "policy teahouse/menu"}
SOME = {"allowed": None, "by": "teahouse/menu"}
NEAR = {"allowed": None, "by": "teahouse/near", "among": ["teahouse/near", "cluster"]}
ANY = {"identity": "", "namespace": "", "network": None, "authenticated": False}
RULE = {
    "name": "teahouse/menu",
    "deny": False,
    "clients": [ANY | {"identity": COUNTER}, ANY | {"network": {"ip": "10.9.0.0", "prefix_length": 16, "ports": []}}],
    "calls": [
        {"method": "", "kind": "exact", "path": "/teahouse.v1.Menu/List"},
        {"method": "GET", "kind": "template", "path": "/teas/{}"},
        {"method": "GET", "kind": "prefix", "path": "/static"},
    ],
}
DENY = {"name": "teahouse/draft", "deny": True, "clients": [ANY | {"namespace": "dev"}], "calls": []}
LIMIT = {"name": "teahouse/limit", "clients": [], "calls": [], "requests_per_second": 5, "burst": 0, "per_client": True}
DECISION = {"rules": [RULE], "default": "deny", "default_name": "policy teahouse/menu"}
ACCESS = {"enforced": DECISION, "audited": DECISION | {"rules": [DENY, RULE]}, "limits": [LIMIT]}
DRAFT = """
apiVersion: weft.dev/v1alpha1
kind: AccessPolicy
metadata: {name: menu}
spec: {rules: [{from: [{serviceAccount: {name: counter}}]}]}
"""


@pytest.fixture
def menu(kube: FakeKube, monkeypatch: pytest.MonkeyPatch, forwarded: None) -> FakeKube:
    """Deployment menu with a pod that has a proxy, two ports and one past it, and its account; nobody taps anything."""
    labels = {"weft.dev/proxy-version": "0.1.0", "weft.dev/workload-kind": "deployment", "weft.dev/workload": "menu"}
    labels, annotations = labels | {"app": "menu"}, {"config.weft.dev/skip-inbound-ports": "20-25"}
    one = pod("teahouse", "menu-1", "10.1.0.1", service_account="menu", labels=labels, annotations=annotations)
    one["spec"]["containers"][0]["ports"] = [{"containerPort": port} for port in (25, 9090, 9091)]
    kube.put(one)
    kube.put(pod("teahouse", "bare", "10.1.0.2", service_account="menu"))
    selector = {"matchLabels": {"app": "menu"}}
    meta = {"name": "menu", "namespace": "teahouse"}
    kube.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"selector": selector}})
    monkeypatch.setattr(taps, "events", lambda *_: iter(()))
    return kube


@pytest.mark.usefixtures("menu")
@pytest.mark.parametrize("output", ["table", "json"])
def test_rules_are_listed_as_they_are_asked(weft: Any, answers: Any, same: Same, output: str) -> None:
    """For each port, drafts marked, the default last; a port without policies says so, and one past the proxy."""
    answers["/debug/inbound/teahouse/menu-1/9090"] = (200, {"state": {"protocol": "detect", "access": ACCESS}})
    answers["/debug/inbound/teahouse/menu-1/9091"] = (200, {"state": {"protocol": "detect", "access": None}})
    result = weft("authz", "list", "deploy/menu", "-o", output)

    assert result.exit_code == 0, result.stderr
    same(f"authz-list-{output}.txt", result.stdout)


@pytest.mark.usefixtures("menu")
@pytest.mark.parametrize(
    ("enforced", "audited", "code", "said"),
    [
        (YES, YES, 0, "yes  port 9090: teahouse/menu\n"),
        (NO, NO, 1, "no   port 9090: policy teahouse/menu\n"),
        ({"allowed": True, "by": ""}, YES, 0, "yes  port 9090: no policy is in force: anyone may call\n"),
        (YES, NO, 0, "yes  port 9090: teahouse/menu; would be denied by policy teahouse/menu, "
                     "were policies in audit enforced\n"),
        (YES, NEAR, 0, "yes  port 9090: teahouse/menu; from some addresses would be denied by teahouse/near or "
                       "cluster, were policies in audit enforced\n"),
        (NEAR, NEAR, 1, "depends  port 9090: on the address that it comes from, by teahouse/near or cluster; "
                        "--from po/NAME has one\n"),
    ],
)  # fmt: skip
def test_a_call_is_judged(weft: Any, answers: Any, enforced: Json, audited: Json, *, code: int, said: str) -> None:
    """Yes or no, the rule or default that decides, and an exit code for scripts."""
    answers["/debug/access"] = (200, {"verdicts": [{"enforced": enforced, "audited": audited}], "faults": []})
    result = weft("authz", "can", "--from", "sa/counter", "--to", "deploy/menu", "--port", "9090", "GET", "/teas/1")

    assert (result.exit_code, result.stdout) == (code, said)


@pytest.mark.usefixtures("menu")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("sa/counter",), {"account": "teahouse/counter", "any_address": True}),
        (("sa/eve", "--from-namespace", "dev"), {"account": "dev/eve", "any_address": True}),
        (("deploy/menu",), {"account": "teahouse/menu", "ip": "10.1.0.1", "any_address": False}),
        (("po/bare",), {"ip": "10.1.0.2", "any_address": False}),
        ((EVE,), {"identity": EVE, "any_address": True}),
        (("10.9.0.1",), {"ip": "10.9.0.1"}),
        (("nobody",), {"any_address": True}),
    ],
)
def test_callers_are_named_in_many_ways(weft: Any, answers: Any, asked: Any, arguments: Any, expected: Json) -> None:
    """By account, by workload (which has no identity without a proxy), by identity, by address, or as nobody; without a
    request: a connection."""
    answers["/debug/access"] = (200, {"verdicts": [{"enforced": YES, "audited": YES}], "faults": []})
    result = weft("authz", "can", "--from", *arguments, "--to", "po/menu-1", "--port", "9090")

    call = {"namespace": "teahouse", "pod": "menu-1", "port": 9090, "method": "", "path": ""}
    assert (result.exit_code, asked) == (0, [{"calls": [call | expected], "drafts": []}])


@pytest.mark.usefixtures("menu")
def test_a_request_is_asked_for_as_it_is_written(weft: Any, answers: Any, asked: Any) -> None:
    """The proxy compares methods exactly, and so does the answer."""
    answers["/debug/access"] = (200, {"verdicts": [{"enforced": NO, "audited": NO}], "faults": []})
    weft("authz", "can", "--from", "nobody", "--to", "po/menu-1", "--port", "9090", "get", "/teas?kind=green")

    assert [(one["method"], one["path"]) for one in asked[0]["calls"]] == [("get", "/teas?kind=green")]


@pytest.mark.usefixtures("menu")
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_verdict_has_two_forms(weft: Any, answers: Any, same: Any, output: str) -> None:
    """For people and for programs."""
    answers["/debug/access"] = (200, {"verdicts": [{"enforced": YES, "audited": NO}], "faults": []})
    asked = ["--from", "sa/counter", "--to", "deploy/menu", "--port", "9090", "GET", "/teas/1", "-o", output]
    same(f"authz-can-{output}.txt", weft("authz", "can", *asked).stdout)


@pytest.mark.usefixtures("menu")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--to", "deploy/menu"), "weft: deployment/menu has several ports: 25, 9090, 9091. Name one by --port.\n"),
        (("--to", "deploy/menu", "GET"), "weft: GET of which path?. Write METHOD PATH, for example GET /menu.\n"),
        (("--to", "deploy/menu", "--port", "4191"), "weft: 4191 is the proxy's own port: no policy is about it. "),
        (("--to", "deploy/gone"), "weft: there is no deployment/gone in namespace teahouse. Name another"),
    ],
)
def test_a_question_that_is_not_whole(weft: Any, arguments: Any, expected: str) -> None:
    """One line says what is missing."""
    result = weft("authz", "can", "--from", "sa/counter", *arguments)

    assert (result.exit_code, result.stderr[: len(expected)]) == (1, expected)


COUNTED = {
    "refused": [
        {"namespace": "teahouse", "policy": name, "mode": mode, "calls": calls}
        for name, mode, calls in (
            ("teahouse/slow", "limit", 1200),
            ("policy teahouse/menu", "enforce", 30),
            ("teahouse/menu#1", "enforce", 6),
            ("teahouse/draft", "audit", 36),
            ("policy teahouse/out", "enforce", 5),
        )
    ],
    "leaving": [
        {"namespace": "teahouse", "destination": destination, "verdict": verdict, "calls": calls}
        for destination, verdict, calls in (
            ("evil.example", "enforce", 5),
            ("api.example.com", "allow", 2000),
            ("api.example.com", "audit", 100),
        )
    ],
    "warnings": [],
}


def observed(answers: Any, *bare: str) -> None:
    """An hour in which counter and eve called menu, some calls of counter's were denied, all of another, and a stranger
    held connections; counter called bare pods."""
    ref = {"namespace": "teahouse", "kind": "deployment", "name": "menu"}
    row = {"dst": ref, "route": "", "tls": "true", "success": 1.0, "latency_seconds": None, "denied_rps": 0.0}
    rows = [
        row | {"client_id": COUNTER, "rps": 2.5, "denied_rps": 0.5},
        row | {"client_id": EVE, "rps": 0.01},
        row | {"client_id": EVE, "rps": 0.01, "dst": ref | {"kind": "statefulset"}},
        row | {"client_id": "", "route": "[probe]", "rps": 1.0},
        row | {"client_id": f"{EVE}l", "rps": 1.0, "success": None, "denied_rps": 1.0},
        row | {"client_id": EVE, "rps": 0.001, "dst": ref | {"name": "gone"}},
    ]
    edge = {"src": ref, "dst": ref, "server_id": "", "tls": "", "reason": "", "rps": None, "success": None}
    edges = [edge | {"client_id": "", "tcp_open_connections": 3}]
    of_pods = [rows[0] | {"dst": ref | {"kind": "pod", "name": name}} for name in ("menu-1", *bare)]
    received = {"deployment": (rows, edges), "pod": (of_pods, [])}
    for kind in ("deployment", "statefulset", "daemonset", "pod"):
        where = f"kind={kind}&namespace=teahouse&window=3600s"
        for view, of_view in zip(("inbound", "edges"), received.get(kind, ([], [])), strict=True):
            answers[f"/api/v1/{view}?{where}"] = (200, {"window_seconds": 3600.0, "rows": of_view, "warnings": []})
    answers["/api/v1/policies?namespace=teahouse&window=3600s"] = (200, COUNTED)


def tap(*requests: tuple[str, str, str, int]) -> Callable[..., Iterator[Json]]:
    """Events of these clients, methods, paths and gRPC statuses."""
    base = {"dst_workload_kind": "deployment", "dst_workload": "menu", "destination": "10.1.0.1:9090"}
    base |= {"source": "[fd00::7]:40000"}
    keys = ("peer_identity", "method", "path", "grpc_status")
    denied = base | {"peer_identity": EVE, "method": "GET", "path": "/", "error": "E114 denied by shop/menu"}
    return lambda *_: iter([*(base | dict(zip(keys, request, strict=True)) for request in requests), denied])


REQUESTS = (
    (COUNTER, "POST", "/teahouse.v1.Menu/List", 0),
    (COUNTER, "GET", "/teas/17?full=1", -1),
    (COUNTER, "GET", "/teas/18", -1),
)


@pytest.mark.usefixtures("menu")
def test_the_least_policy_is_suggested(weft: Any, answers: Any, same: Same, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients by metrics, requests by tap, each with its count; who is not in the mesh is left to the reader."""
    observed(answers)
    monkeypatch.setattr(taps, "events", tap(*REQUESTS))
    result = weft("authz", "suggest")

    assert (result.exit_code, result.stderr) == (
        0,
        "left out deployment/gone: it is gone, or no label tells its pods from others\n",
    )
    same("authz-suggest.txt", result.stdout)


PROFILE = """
- {name: "GET /teas/{id}", condition: {method: GET, path: "/teas/{id}"}}
- {name: menu, condition: {method: post, pathRegex: '/teahouse\\.v1\\.Menu/[^/]+'}}
- {name: static, condition: {pathRegex: "/(css|js)/.*"}}
- {name: all}
"""
BY_ROUTE = """
    - from: [{{serviceAccount: {{name: counter}}}}]  # {comment}
      to:{note}
        - methods: [GET]  # 6,000 requests of route "GET /teas/{{id}}"
          paths: ["/teas/{{id}}"]
        - methods: [POST]  # 1,000 requests of route menu
          paths: ["/teahouse.v1.Menu/{{id}}"]
{more}"""


@pytest.mark.parametrize(
    ("rest", "comment", "note", "more"),
    [
        (0, "7,000 requests, 3 tapped", "", ""),
        (
            90,
            "7,090 requests, 4 tapped",
            "\n        # Of 90 requests of no profile's route tap saw 1: whatever else they asked for would be denied.",
            "        - methods: [GET]  # 1 tapped\n          paths: [/css/a]\n",
        ),
    ],
)
def test_routes_of_profiles_say_what_was_counted(rest: int, comment: str, note: str, more: str) -> None:
    """Of all requests, not only of those that tap saw; where some are of no route that says what they are, a comment
    tells that they are not all known."""
    menu = ("deployment", "menu")
    profile = {"spec": {"routes": yaml.safe_load(PROFILE)}}
    counts = {"GET /teas/{id}": 6000, "menu": 1000, "static": rest}
    counted = {Call(menu, COUNTER, http=True, route=name): count for name, count in counts.items() if count}
    teas = Call(menu, COUNTER, http=True, method="GET", path="/teas/17", route="GET /teas/{id}")
    css = Call(menu, COUNTER, http=True, method="GET", path="/css/a", route="static")
    tapped = {teas: 3} | ({css: 1} if rest else {})

    text = policy(("teahouse", "menu", {"app": "menu"}), counted, tapped, routes.conditions([profile]))

    assert text.partition("  rules:")[2] == BY_ROUTE.format(comment=comment, note=note, more=more)


def test_paths_beyond_those_that_are_told_apart_are_marked() -> None:
    """A policy that leaves out what tap saw says so."""
    paths = ["/" + "/".join(words) for words in product("abcde", repeat=3)]
    tapped = {Call(("deployment", "menu"), COUNTER, http=True, method="GET", path=path): 1 for path in paths}

    text = policy(("teahouse", "menu", {"app": "menu"}), {}, tapped, {})

    assert '        # 25 tapped would be denied, as GET "/' in text


def requests(methods: list[str], paths: st.SearchStrategy[str], *, grpc: bool) -> st.SearchStrategy[Call]:
    """Of counter's, as tap sees them."""
    made = lambda method, path: Call(("deployment", "on"), COUNTER, http=True, method=method, path=path, grpc=grpc)  # noqa: E731
    return st.builds(made, st.sampled_from(methods), paths)


ODD = ["*", "", "/", "/a/", "/a;v=1", "/a//b", "/a/../b", "/a%2Fb", "/%ff", "/x*", "/x/...", "/{id}"]
PATHS = st.lists(st.text("ab.1%2{}*é \\", max_size=3), max_size=4).map(lambda words: "/" + "/".join(words))
TAPPED = st.dictionaries(
    requests(["GET", "POST", "PROPFIND", "get", "ON", "CONNECT"], st.sampled_from(ODD) | PATHS, grpc=False)
    | requests(["POST"], st.sampled_from(["/tea.Menu/List", "/tea.Menu/", "/tea.Me%6eu/List", "//List"]), grpc=True),
    st.integers(1, 3),
    min_size=1,
)


@given(TAPPED)
def test_what_is_suggested_is_accepted_and_allows_what_it_does_not_name(tapped: dict[Call, int]) -> None:
    """Whatever tap saw: admission takes the policy, and enforced it lets in all but as many as a comment says."""
    text = policy(("teahouse", "on", {"app": "404"}), {}, tapped, {})
    document = yaml.safe_load(text)
    found = read_policy(("teahouse", "on"), document["spec"], "cluster.local")
    decision = Decision(found.rules, Default.DENY, "policy teahouse/on")

    denied = re.search("# ([0-9,]+) tapped would be denied", text)
    asked = [(Attempt(COUNTER, b"", one.method, one.path, namespace="teahouse"), n) for one, n in tapped.items()]
    refused = sum(count for attempt, count in asked if not decide(decision, attempt).allowed)
    assert (faults_of(document), found.faults, document["metadata"]["name"]) == ([], (), "on")
    assert refused == (int(denied[1].replace(",", "")) if denied else 0)


def test_routes_that_share_a_name_say_nothing() -> None:
    """Unless they say the same: metrics know but the name."""
    one, other = ({"name": "x", "condition": {"path": path}} for path in ("/a", "/b"))
    same_twice, different = ([{"spec": {"routes": [first]}}, {"spec": {"routes": [one]}}] for first in (one, other))

    assert routes.conditions(same_twice) == {"x": routes.Condition("", "/a")}
    assert routes.conditions(different) == {}


def test_pods_of_no_workload_are_suggested_by_their_labels(weft: Any, answers: Any, menu: FakeKube) -> None:
    """A pod that nobody made has no selector: its own labels do, and not those that weft gave it."""
    for name, own in (("oven", {"app": "oven"}), ("cellar", {})):
        made = {"weft.dev/proxy-version": "0.1.0", "weft.dev/workload-kind": "pod", "weft.dev/workload": name}
        menu.put(pod("teahouse", name, "10.1.0.9", labels=made | own))
    observed(answers, "oven", "cellar")
    result = weft("authz", "suggest", "--duration", "0s")

    names = [line for line in result.stdout.splitlines() if "metadata" in line or "matchLabels" in line]
    assert names[2:] == [
        "metadata: {name: oven, namespace: teahouse}",
        "    workload: {matchLabels: {app: oven}}",
    ]
    assert "left out pod/cellar: it is gone, or no label tells its pods from others" in result.stderr


@pytest.mark.usefixtures("menu")
def test_nothing_to_suggest(weft: Any, answers: Any) -> None:
    """A workload that nobody called."""
    observed(answers)
    result = weft("authz", "suggest", "deploy/kettle", "--duration", "0s")

    assert result.stderr == "weft: nobody called deployment/kettle. Look back longer with --window.\n"


@pytest.mark.usefixtures("menu")
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_draft_is_simulated(
    weft: Any, answers: Any, asked: Any, same: Same, *, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    """Each observed call is judged at the ports that it may have been for, which proxies saw, with the drafts in
    force."""
    observed(answers)
    monkeypatch.setattr(taps, "events", tap(*REQUESTS))
    drafted = [YES, SOME, NO, NO, NO, NO, NO, YES, YES]
    answers["/debug/access"] = (200, {"verdicts": [{"drafted": one} for one in drafted], "faults": []})
    result = weft("authz", "simulate", "-f", "-", "-o", output, input=DRAFT)

    assert result.exit_code == 0, result.stderr
    same(f"authz-simulate-{output}.txt", result.stdout)
    assert result.stderr == (
        ""
        if output == "json"
        else "of 7,240 calls 40 would be denied, of 7,200 it depends; 4 could not be judged: "
        "their pods are gone, or declare no ports\n"
    )
    assert [one["port"] for one in asked[0]["calls"]] == [9090, 9091] * 3 + [9090] * 3
    of_tap, of_metrics = {"ip": "fd00::7", "any_address": False}, {"ip": "", "any_address": True}
    assert [{name: one[name] for name in of_tap} for one in asked[0]["calls"]] == [of_metrics] * 6 + [of_tap] * 3
    assert asked[0]["drafts"][0]["metadata"] == {"name": "menu", "namespace": "teahouse"}


@pytest.mark.usefixtures("menu")
def test_a_broken_draft_is_not_simulated(weft: Any, answers: Any) -> None:
    """What is wrong with it is told."""
    observed(answers)
    answers["/debug/access"] = (200, {"verdicts": [], "faults": ["teahouse/menu: spec.rules is empty"]})
    result = weft("authz", "simulate", "-f", "-", "--duration", "0s", input=DRAFT)
    none = weft("authz", "simulate", "-f", "-", input="kind: Pod")

    assert result.stderr.startswith("weft: teahouse/menu: spec.rules is empty. Correct the draft")
    assert none.stderr == "weft: - holds no AccessPolicy. Give a file with at least one.\n"


LIMIT_AND_EGRESS = """
apiVersion: v1
kind: List
items:
- {kind: AccessPolicy, metadata: {name: slow}, spec: {rateLimit: {requestsPerSecond: 1}}}
- {kind: AccessPolicy, metadata: {name: out}, spec: {egress: {allow: []}}}
- {kind: Pod}
- {kind: AccessPolicy, metadata: {name: menu, namespace: teahouse}, spec: {rules: []}}
"""


@pytest.mark.usefixtures("menu")
def test_what_is_not_simulated_is_said(weft: Any, answers: Any, asked: Any) -> None:
    """Limits deny nobody and egress is about other calls: that none is denied would say nothing. Of a List, the items
    are the drafts."""
    observed(answers)
    answers["/debug/access"] = (200, {"verdicts": [{"drafted": YES}] * 8, "faults": []})
    simulate = ("authz", "simulate", "-f", "-", "--duration", "0s")
    some, machine = (weft(*simulate, "-o", form, input=LIMIT_AND_EGRESS) for form in ("table", "json"))
    nothing = weft(*simulate, input=LIMIT_AND_EGRESS.partition("- {kind: Pod}")[0])

    said = [
        "teahouse/slow: spec.rateLimit says how often, not who",
        "teahouse/out: spec.egress is about calls to the outside, and those that are observed come in",
    ]
    assert some.stderr.splitlines()[:2] == [f"not simulated: {one}" for one in said]
    assert json.loads(machine.stdout)["not_simulated"] == said
    assert [[one["metadata"]["name"] for one in each["drafts"]] for each in asked] == [["slow", "out", "menu"]] * 2
    assert (nothing.exit_code, nothing.stderr.split(": ")[1]) == (1, "nothing to simulate")


@pytest.mark.parametrize("output", ["table", "json"])
def test_policies_say_what_they_touch(weft: Any, answers: Any, menu: FakeKube, same: Same, output: str) -> None:
    """Pods by status, calls by the table that proxies have, what was refused by metrics, and what is wrong by
    conditions."""
    shadowed = {
        "type": "Shadowed",
        "status": "True",
        "reason": "DecidedBefore",
        "message": "decided before by teahouse/menu",
    }
    resolved = {"type": "Resolved", "status": "True"}
    for name, spec, conditions in (
        ("menu", {"action": "allow"}, [resolved]),
        ("draft", {"action": "deny", "mode": "audit"}, [resolved, shadowed]),
        ("slow", {"rateLimit": {"requestsPerSecond": 5}}, []),
        ("out", {"egress": {"allow": [{"host": "api.example.com"}]}}, []),
    ):
        meta, status = {"name": name, "namespace": "teahouse"}, {"pods": 2, "conditions": conditions}
        kind = {"apiVersion": "weft.dev/v1alpha1", "kind": "AccessPolicy"}
        menu.put(kind | {"metadata": meta, "spec": spec, "status": status})
    observed(answers)
    among = {"among": ["teahouse/draft", "policy teahouse/menu"]}
    verdicts = [YES | {"by": "teahouse/menu#1"}, YES, NO | among, NO, NO, NO, *[YES | {"by": "cluster"}] * 2]
    answers["/debug/access"] = (200, {"verdicts": [{"audited": one} for one in verdicts], "faults": []})
    result = weft("authz", "policies", "-o", output)

    assert result.exit_code == 0, result.stderr
    same(f"authz-policies-{output}.txt", result.stdout)


@pytest.mark.usefixtures("menu")
@pytest.mark.parametrize("output", ["table", "json"])
def test_what_leaves_the_mesh_is_listed(weft: Any, answers: Any, same: Same, output: str) -> None:
    """By host or address, the most called first."""
    observed(answers)
    same(f"authz-egress-{output}.txt", weft("authz", "egress", "-o", output).stdout)


@pytest.mark.usefixtures("menu")
@pytest.mark.parametrize("arguments", [("suggest",), ("simulate", "-f", "-"), ("policies",), ("egress",)])
def test_what_nobody_could_look_at_is_not_nothing(weft: Any, answers: Any, arguments: tuple[str, ...]) -> None:
    """Without Prometheus no draft would deny a call: that is no answer."""
    observed(answers)
    views = [path for path in answers if "/edges?" in path or "/policies?" in path]
    answers |= {path: (200, answers[path][1] | {"rows": [], "warnings": ["Prometheus is away"]}) for path in views}
    result = weft("authz", *arguments, input=DRAFT)

    said = "weft: nobody knows what was called: Prometheus is away. See `weft check`.\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", said)


def test_ports_that_differ_leave_it_open() -> None:
    """Metrics do not know the port: allowed at one and denied at another is neither."""
    outcome = combined(Call(("deployment", "menu"), EVE, http=False), 3, [YES, NO])

    assert (outcome.allowed, outcome.by) == (None, "policy teahouse/menu")


def test_requests_that_differ_in_address_alone_are_one() -> None:
    """Two pods of a workload that fare alike are one line, and one that does not is another."""
    call = Call(("deployment", "menu"), EVE, http=True, port=9090, method="GET", path="/")
    here, there = (replace(call, ip=ip) for ip in ("10.0.0.1", "10.0.0.2"))
    found = merged([combined(here, 3, [YES]), combined(there, 4, [YES]), combined(there, 1, [NO])])

    assert [(one.call, one.count, one.allowed) for one in found] == [(call, 7, True), (call, 1, False)]
