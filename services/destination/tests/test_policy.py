"""AccessPolicies: the truth table of docs/access.md, the compiled table against slow and obvious rules, bad objects."""

import ipaddress
import re
from dataclasses import replace
from pathlib import Path as File
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_api.discovery.v1 import discovery_pb2 as pb
from weft_destination import translate
from weft_destination.policy import facts, wire
from weft_destination.policy.evaluate import NOTHING, Attempt, Verdict, decide, foresee, namespace_of
from weft_destination.policy.model import (
    Access,
    Call,
    Client,
    Decision,
    Default,
    Effect,
    Egress,
    Limit,
    Network,
    Path,
    Pod,
    Policy,
    Probe,
    RouteCalls,
    Rule,
    Service,
    Target,
)
from weft_destination.policy.read import read_policy
from weft_destination.policy.state import CHOICES, Policies
from weft_destination.policy.status import Status
from weft_destination.policy.table import egress
from weft_kube import objects
from weft_testkit.truth import Row, rows

Json = dict[str, Any]

PAGE = File(__file__).parents[3] / "docs" / "access.md"
LIST = (Call("GET", Path.EXACT, "/menu"),)
HTTP, RAW = 8080, 9000
MENU = Pod(
    labels=frozenset({("app", "menu"), ("tier", "back")}),
    ports=(("http", HTTP), ("raw", RAW)),
    probes=(Probe(HTTP, Call("GET", Path.EXACT, "/healthz")),),
)


ROUTES = {"list": RouteCalls(LIST)}


def state(*policies: Policy, default: str = "anyone") -> Policies:
    """Namespace shop with Service `menu`, its route `list`, and these policies."""
    service = Service((("app", "menu"),), ("http", RAW))
    found = Policies({("shop", "menu"): service}.get, lambda _, name: ROUTES.get(name, RouteCalls(fault="no route")))
    if default != "anyone":
        found.set_default("shop", default)
    for policy in policies:
        found.put(policy)
    return found


def policy(spec: Json, name: str = "p") -> Policy:
    """A policy of namespace shop."""
    return read_policy(("shop", name), spec, "cluster.local")


class Verdicts(NamedTuple):
    """What is enforced, and what would be, were drafts enforced too."""

    enforced: Verdict
    audited: Verdict


def judge(access: Access | None, attempt: Attempt) -> Verdicts:
    """As a port's proxy would."""
    found = access or Access()
    enforced = found.enforced or NOTHING
    return Verdicts(decide(enforced, attempt), decide(found.audited or enforced, attempt))


def identity(client: str) -> str:
    """The SPIFFE ID of an account of shop, or of NAMESPACE/ACCOUNT; empty for nobody."""
    namespace, _, account = client.rpartition("/")
    return "" if client == "nobody" else f"spiffe://cluster.local/ns/{namespace or 'shop'}/sa/{account}"


@pytest.mark.parametrize("row", list(rows(PAGE)), ids=lambda row: row.text.strip("|"))
def test_the_truth_table_holds(row: Row) -> None:
    """What docs/access.md promises is what the compiled table says."""
    policies = [read_policy(("shop", p["metadata"]["name"]), p["spec"], "cluster.local") for p in row.policies]
    pod = replace(MENU, default=row.own_default, workload="deployment/menu")
    access = state(*policies, default=row.default).access("shop", pod, RAW if row.raw else HTTP)

    who = identity(row.client)
    call = Attempt(who, b"", row.method, row.path, opaque=row.raw, namespace=namespace_of(who, "cluster.local"))
    verdicts = judge(access, call)

    told = verdicts.enforced.allowed and not verdicts.audited.allowed
    by = (verdicts.audited if told else verdicts.enforced).by or "nothing"
    assert (verdicts.enforced.allowed, told, by) == (row.allowed, row.told, row.by)


RULES = File(__file__).parents[3] / "proto/discovery/v1/rules.txt"


def written_client(text: str) -> tuple[Client, ...]:
    """A client as the contract's table writes it; none for anyone."""
    kind, _, value = text.partition(":")
    match kind:
        case "identity":
            return (Client(identity=value),)
        case "namespace":
            return (Client(namespace=value),)
        case "network":
            network = ipaddress.ip_network(value)
            return (Client(network=Network(network.network_address.packed, network.prefixlen)),)
    return (Client(authenticated=True),) if kind == "authenticated" else ()


def written_calls(words: list[str]) -> tuple[Call, ...]:
    """A method and a path; none for every call."""
    if not words:
        return ()
    kind, _, path = (words[1:] or ["any:"])[0].partition(":")
    return (Call(words[0].strip("*"), Path(kind), path),)


def written_attempt(caller: str, call: str, target: str = "/menu") -> Attempt:
    """A call as the contract's table writes it."""
    known = caller if caller.startswith("spiffe:") else ""
    ip = ipaddress.ip_address("10.0.0.1" if known or caller == "-" else caller).packed
    opaque, method = call == "OPAQUE", "" if call == "BYTES" else call
    return Attempt(known, ip, method, target, opaque, namespace_of(known, "cluster.local"))


@pytest.mark.parametrize("line", [line for line in RULES.read_text().splitlines() if line and line[0] != "#"])
def test_a_rule_is_about_the_calls_of_the_contract_s_table(line: str) -> None:
    """Who asks what becomes of a call hears what the proxy would do, which is tested by the same table."""
    written, called, expected = (column.split(" ") for column in line.split(" | "))
    deny = written[0] == "deny"
    rule = Rule("rule", deny, written_client(written[1]), written_calls(written[2:]))
    default = Default.ANYONE if deny else Default.DENY

    verdict = decide(Decision((rule,), default, "cluster"), written_attempt(*called))

    assert (verdict.allowed != deny) is (expected == ["yes"])


SOURCES = [bytes([10, 0, 0, 1]), bytes([10, 9, 0, 1])]
CLIENTS = st.sampled_from(
    [
        Client(identity=identity("cart")),
        Client(namespace="dev"),
        Client(network=Network(bytes([10, 9, 0, 0]), 16)),
        Client(authenticated=True),
    ]
)
CALLS = st.builds(
    lambda method, path: Call(method, *path),
    st.sampled_from(["", "GET", "POST"]),
    st.sampled_from(
        [
            (Path.ANY, ""),
            (Path.EXACT, "/a"),
            (Path.EXACT, "/a/b"),
            (Path.EXACT, "/a/"),
            (Path.PREFIX, "/a"),
            (Path.PREFIX, "/"),
            (Path.TEMPLATE, "/a/{}"),
            (Path.TEMPLATE, "/{}/b"),
        ]
    ),
)
TARGETS = st.sampled_from(
    [
        Target(),
        Target(labels=frozenset({("app", "menu")})),
        Target(labels=frozenset({("app", "other")})),
        Target(service="menu"),
        Target(service="gone"),
        Target(service="menu", route="list"),
        Target(service="menu", route="gone"),
    ]
)
PORTS = st.sampled_from([(), (HTTP,), ("raw",), ("absent", HTTP)])


@st.composite
def policies(draw: st.DrawFn) -> list[Policy]:
    """A few policies that allow or deny, of any level."""
    found = []
    for number in range(draw(st.integers(0, 5))):
        effect = draw(st.sampled_from([Effect.ALLOW, Effect.DENY]))
        rules = tuple(
            Rule(
                f"shop/p{number}#{place}",
                effect is Effect.DENY,
                tuple(draw(st.lists(CLIENTS, max_size=2))),
                tuple(draw(st.lists(CALLS, max_size=2))),
            )
            for place in range(draw(st.integers(1, 2)))
        )
        key = ("shop", f"p{number}")
        found.append(Policy(key, effect, draw(TARGETS), draw(PORTS), draw(st.booleans()), rules))
    return found


ATTEMPTS = st.builds(
    lambda who, *call: Attempt(identity(who), *call, namespace=who.rpartition("/")[0]),
    st.sampled_from(["cart", "dev/eve", "nobody"]),
    st.sampled_from(SOURCES),
    st.sampled_from(["", "GET", "POST", "get"]),
    st.sampled_from(["/", "/a", "/a/", "/a/b", "/a/b/c", "/x/b", "/menu", "/healthz", "/a//b", "/a/%2E%2e/b"]),
    st.booleans(),
)


def slow(found: list[Policy], default: str, port: int, attempt: Attempt, *, drafts: bool) -> bool:
    """May this call be made? The rules of docs/access.md, one after another."""
    held = [one for one in found if (drafts or not one.audit) and _about(one, port)]
    for level in ("route", "service", "workload", "namespace"):
        matching = [
            one.effect
            for one in held
            if _level(one.target) == level
            for rule in one.rules
            if any(_who(client, attempt) for client in rule.clients) or not rule.clients
            if _what(one, rule, attempt)
        ]
        if matching:
            return Effect.DENY not in matching
    if any(one.effect is Effect.ALLOW for one in held):
        kind = Default.DENY
    else:
        kind, audit = CHOICES[default]
        kind = Default.ANYONE if audit and not drafts else kind
    if kind is Default.ANYONE or (kind is Default.AUTHENTICATED and attempt.identity):
        return True
    return not attempt.opaque and (port, attempt.method, attempt.path) == (HTTP, "GET", "/healthz")


def _about(one: Policy, port: int) -> bool:
    numbers = {"raw": RAW, "http": HTTP}
    ports = {numbers.get(given, given) for given in one.ports} or {port}
    return port in ports and one.target.service != "gone" and ("app", "other") not in one.target.labels


def _level(target: Target) -> str:
    return "route" if target.route else "service" if target.service else "workload" if target.labels else "namespace"


def _who(client: Client, attempt: Attempt) -> bool:
    if client.network:
        return ipaddress.ip_address(attempt.ip) in ipaddress.ip_network("10.9.0.0/16")
    if client.namespace:
        return attempt.identity.startswith(f"spiffe://cluster.local/ns/{client.namespace}/sa/")
    return attempt.identity == client.identity if client.identity else bool(attempt.identity)


def _what(one: Policy, rule: Rule, attempt: Attempt) -> bool:
    if one.target.route == "gone":
        return False
    calls = LIST if one.target.route else rule.calls
    if not calls:
        return True
    deny = one.effect is Effect.DENY
    if attempt.opaque or not attempt.method:
        return deny and not attempt.opaque
    method = attempt.method.upper() if deny else attempt.method
    return any(call.method in ("", method) and _path(call, attempt.path, deny) for call in calls)


def _path(call: Call, path: str, deny: bool) -> bool:
    if deny:
        call, path = (
            replace(call, path=call.path.rstrip("/") or "/"),
            path.rstrip("/") or "/" if "//" not in path else path,
        )
    pattern = {
        Path.ANY: ".*",
        Path.EXACT: re.escape(call.path),
        Path.PREFIX: re.escape(call.path.rstrip("/")) + "(/.*)?",
        Path.TEMPLATE: call.path.replace("{}", "[^/]+"),
    }[call.kind]
    if call.kind is not Path.ANY and ("//" in path or "%" in path):
        return deny
    return bool(re.fullmatch(pattern, path))


@given(policies(), st.sampled_from(sorted(CHOICES)), st.sampled_from([HTTP, RAW]), ATTEMPTS)
def test_the_compiled_table_says_what_the_rules_say(
    found: list[Policy], default: str, port: int, attempt: Attempt
) -> None:
    """One ordered list gives the answers of levels, denials and defaults, for what is enforced and for drafts."""
    verdicts = judge(state(*found, default=default).access("shop", MENU, port), attempt)

    assert verdicts.enforced.allowed == slow(found, default, port, attempt, drafts=False)
    assert verdicts.audited.allowed == slow(found, default, port, attempt, drafts=True)


@given(policies(), st.sampled_from([HTTP, RAW]), ATTEMPTS, st.booleans(), st.booleans())
def test_what_is_foreseen_becomes_true(
    found: list[Policy], port: int, attempt: Attempt, any_request: bool, any_address: bool
) -> None:
    """Whatever the call turns out to be: it is allowed or not as was said, by one of those that were named."""
    access = state(*found, default="deny").access("shop", replace(MENU, probes=()), port)
    decision = (access and access.enforced) or NOTHING
    verdict = decide(decision, attempt)
    any_request = any_request and attempt.method != ""
    if any_request:
        attempt = replace(attempt, method="", path="")
    if any_address:
        attempt = replace(attempt, ip=b"")
    foreseen = foresee(decision, attempt, any_request=any_request, any_address=any_address)

    assert foreseen.allowed in (None, verdict.allowed)
    assert verdict.by in foreseen.by


@given(policies(), st.sampled_from(sorted(CHOICES)))
def test_order_of_arrival_means_nothing(found: list[Policy], default: str) -> None:
    """The same policies give the same table, so every replica tells the same version."""
    tables = [state(*order, default=default).access("shop", MENU, HTTP) for order in (found, found[::-1])]

    assert tables[0] == tables[1]


def test_a_port_s_name_that_containers_share() -> None:
    """A Service leads to the first port of that name, and a policy of ports is about all of them: none is left open."""
    ports = [{"name": "http", "containerPort": 53, "protocol": "UDP"}, {"name": "http", "containerPort": 80}]
    second = [{"name": "http", "containerPort": 81}]
    one = facts.pod(containing({"ports": ports}, {"ports": second}), "deployment/menu")
    found = state(policy(ALLOW | {"ports": ["http"]}))
    menu = state(policy(ALLOW | {"target": {"service": {"name": "menu"}}}))

    assert [found.access("shop", one, port) is not None for port in (53, 80, 81)] == [False, True, True]
    assert [menu.access("shop", one, port) is not None for port in (53, 80, 81)] == [False, True, False]


def test_a_mesh_without_policies_has_no_tables() -> None:
    """Who does not use policies pays nothing for them."""
    assert state().access("shop", MENU, HTTP) is None


def test_the_nearest_default_counts() -> None:
    """Pod before namespace before cluster; what is no default counts as none."""
    found = Policies(lambda _: None, lambda *_: RouteCalls(), default="deny")
    names = [found.base("shop", Pod()).name]
    found.set_default("shop", "authenticated")
    names.append(found.base("shop", Pod()).name)
    names.append(found.base("shop", Pod(default="anyone", workload="deployment/menu")).name)
    names.append(found.base("shop", Pod(default="nonsense")).name)

    assert names == ["cluster", "namespace shop", "workload deployment/menu", "namespace shop"]


def test_what_is_supposed_is_a_copy() -> None:
    """It begins with all that was said, defaults and trust domain among it, and changes nothing of that."""
    found = Policies(lambda _: None, lambda *_: RouteCalls(), trust_domain="example.org")
    found.set_default("shop", "deny")
    named = read_policy(
        ("shop", "p"), {"rules": [{"from": [{"identity": "spiffe://cluster.local/ns/shop/sa/menu"}]}]}, "example.org"
    )
    supposed = found.supposing([named])
    supposed.set_default("shop", "audit-deny")
    pod = Pod(frozenset())
    bases = [each.base("shop", pod) for each in (found, supposed)]
    assert [(base.default, base.audit) for base in bases] == [(Default.DENY, False), (Default.DENY, True)]
    assert "in trust domain example.org" in supposed.status(named, []).unresolved[1]


def test_every_field_of_a_policy_is_read() -> None:
    """Who and what, ports by number and name, drafts."""
    found = policy(
        {
            "target": {"workload": {"matchLabels": {"app": "menu"}}},
            "ports": [HTTP, "raw"],
            "action": "deny",
            "mode": "audit",
            "rules": [
                {
                    "from": [
                        {"serviceAccount": {"name": "cart"}},
                        {"serviceAccount": {"name": "eve", "namespace": "dev"}},
                        {"namespace": "dev"},
                        {"identity": "spiffe://other/x"},
                        {"cidr": "10.9.0.0/16"},
                        {"authenticated": True},
                    ],
                    "to": [
                        {"methods": ["GET", "HEAD"], "paths": ["/menu", "/menu/{id}/tea"], "pathPrefixes": ["/a"]},
                        {"grpc": [{"service": "tea.v1.Menu", "method": "List"}, {"service": "tea.v1.Pot"}]},
                        {"methods": ["PUT"]},
                    ],
                },
                {"from": [{"anyone": True}]},
            ],
        }
    )
    of = {"GET": "GET", "HEAD": "HEAD"}
    paths = [(Path.EXACT, "/menu"), (Path.TEMPLATE, "/menu/{}/tea"), (Path.PREFIX, "/a")]
    calls = [Call(method, kind, path) for method in of for kind, path in paths]
    calls += [Call("", Path.EXACT, "/tea.v1.Menu/List"), Call("", Path.PREFIX, "/tea.v1.Pot"), Call("PUT")]
    clients = (
        Client(identity=identity("cart")),
        Client(identity=identity("dev/eve")),
        Client(namespace="dev"),
        Client(identity="spiffe://other/x"),
        Client(network=Network(bytes([10, 9, 0, 0]), 16)),
        Client(authenticated=True),
    )
    assert found == Policy(
        ("shop", "p"),
        Effect.DENY,
        Target(labels=frozenset({("app", "menu")})),
        (HTTP, "raw"),
        audit=True,
        rules=(Rule("shop/p#0", True, clients, tuple(calls)), Rule("shop/p#1", True, (), ())),
    )


ALLOW = {"rules": [{"from": [{"anyone": True}]}]}


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({}, "spec.rules is empty"),
        ({"rules": [{"from": []}]}, "an empty from"),
        ({"rules": [{"from": [{}]}]}, "0 fields"),
        ({"rules": [{"from": [{"anyone": True, "namespace": "dev"}]}]}, "2 fields"),
        ({"rules": [{"from": [{"anyone": False}]}]}, "$.rules[0].from[0].anyone"),
        ({"rules": [{"from": [{"namespace": ""}]}]}, "namespace is empty"),
        ({"rules": [{"from": [{"cidr": "10.0.0.1/8"}]}]}, "host bits set"),
        (ALLOW | {"target": {"workload": {"matchLabels": {}}}}, "matchLabels is empty"),
        (ALLOW | {"target": {"workload": {"matchLabels": {"a": "b"}}, "service": {"name": "x"}}}, "both"),
        (ALLOW | {"ports": [0]}, "$.ports[0]"),
        (ALLOW | {"action": "permit"}, "$.action"),
        (ALLOW | {"acton": "deny"}, "acton"),
        ({"rules": [{"from": [{"anyone": True}], "to": [{}]}]}, "an empty item of to"),
        ({"rules": [{"from": [{"anyone": True}], "to": [{"paths": ["menu"]}]}]}, "does not begin with /"),
        ({"rules": [{"from": [{"anyone": True}], "to": [{"paths": ["/a/../b"]}]}]}, "two ways"),
        ({"rules": [{"from": [{"anyone": True}], "to": [{"paths": ["/a/{id"]}]}]}, "whole segment"),
        ({"rules": [{"from": [{"anyone": True}], "to": [{"methods": ["GET"], "grpc": [{"service": "s"}]}]}]}, "grpc"),
        (ALLOW | {"rateLimit": {"requestsPerSecond": 1}, "mode": "audit"}, "neither action nor audit"),
        (ALLOW | {"egress": {"allow": []}}, "of the whole namespace"),
        ({"egress": {"allow": [{"host": "Example.com"}]}}, "no lower-case DNS name"),
        ({"egress": {"allow": [{}]}}, "host or cidr"),
    ],
)
def test_a_faulty_policy_holds_nowhere(spec: Json, fault: str) -> None:
    """It says what is wrong; sp-validator refused it already, unless it was away."""
    found = policy(spec)

    assert [fault in found.faults[0], state(found).access("shop", MENU, HTTP)] == [True, None]


def test_rate_limits_allow_nothing() -> None:
    """A limit counts what its rules match, one for each rule, but no probes of the pod at this port; it changes
    nothing of who may call."""
    limit = {"requestsPerSecond": 10, "burst": 20, "per": "target"}
    found = policy({"rateLimit": limit, "rules": [{"from": [{"namespace": "dev"}], "to": [{"methods": ["POST"]}]}]})
    everybody = policy({"rateLimit": {"requestsPerSecond": 5}}, "q")

    assert state(found, everybody).access("shop", MENU, HTTP) == Access(
        limits=(
            Limit("shop/p", (Client(namespace="dev"),), (Call("POST"),), 10, 20, per_client=False),
            Limit("shop/q", (), (), 5, 0, per_client=True),
        ),
        unlimited=(Call("GET", Path.EXACT, "/healthz"),),
    )
    raw = state(everybody).access("shop", MENU, RAW)
    assert raw == Access(limits=(Limit("shop/q", (), (), 5, 0, per_client=True),))


def test_egress_policies_add_up() -> None:
    """What any of them allows may be called; a draft is told of only while none is enforced."""
    network = {"cidr": "192.0.2.0/24", "ports": [443]}
    one = policy({"egress": {"allow": [{"host": "b.example"}, network]}}, "one")
    two = policy({"egress": {"allow": [{"host": "*.a.example"}]}}, "two")
    draft = policy({"mode": "audit", "egress": {"allow": []}}, "draft")
    networks = (Network(bytes([192, 0, 2, 0]), 24, (443,)),)

    assert egress([two, draft, one]) == Egress("policy shop/one", ("*.a.example", "b.example"), networks)
    assert egress([draft]) == Egress("policy shop/draft", (), (), audit=True)
    assert egress([]) is None
    assert state(one, two).access("shop", MENU, HTTP) is None


def test_discovery_carries_the_whole_table() -> None:
    """Rules in their order, every kind of client and call, defaults by name, limits."""
    policies = [
        policy({"rules": [{"from": [{"serviceAccount": {"name": "cart"}}, {"cidr": "10.9.0.0/16"}]}]}, "a"),
        policy({"mode": "audit", "action": "deny", "rules": [{"from": [{"namespace": "dev"}]}]}, "b"),
        policy({"rateLimit": {"requestsPerSecond": 5}}, "c"),
    ]
    access = state(*policies).access("shop", MENU, HTTP)
    assert access
    told = pb.Inbound()
    wire.inbound(access, told)

    cart = pb.Client(identity=identity("cart"))
    network = pb.Client(network=pb.Network(ip=bytes([10, 9, 0, 0]), prefix_length=16))
    allow = pb.Rule(name="shop/a", clients=[cart, network])
    deny = pb.Rule(name="shop/b", deny=True, clients=[pb.Client(namespace="dev")])
    health = pb.CallMatch(method="GET", exact="/healthz")
    probe = pb.Rule(name="probe", calls=[health])
    default = {"default": pb.DEFAULT_DENY, "default_name": "policy shop/a"}
    assert told == pb.Inbound(
        enforced=pb.Policy(rules=[allow, probe], **default),
        audited=pb.Policy(rules=[deny, allow, probe], **default),
        rate_limits=[pb.RateLimit(name="shop/c", requests_per_second=5, per_client=True)],
        unlimited=[health],
    )


def test_nothing_in_force_lets_everybody_in() -> None:
    """No table: any call is allowed, and nothing is told."""
    verdicts = judge(None, Attempt())

    assert (verdicts.enforced.allowed, verdicts.audited.allowed) == (True, True)


def http(path: str, port: int | str = "http", **more: str) -> Json:
    """What the kubelet is to ask for."""
    return {"httpGet": {"path": path, "port": port, **more}}


def kubelet(*containers: Json) -> list[tuple[int, str, str]]:
    """Port, method and path of what it may ask of a pod with these containers."""
    found = facts.pod(containing(*containers), "deployment/menu")
    return [(one.port, one.call.method, one.call.path) for one in found.probes]


def containing(*containers: Json) -> objects.Pod:
    """A pod of menu with these containers."""
    named = [{"name": f"c{number}"} | one for number, one in enumerate(containers)]
    meta = {"name": "menu-1", "namespace": "shop", "labels": {"app": "menu"}}
    return msgspec.convert({"metadata": meta, "spec": {"containers": named}}, objects.Pod)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/healthz", "/healthz"),
        ("healthz", "/healthz"),
        ("", "/"),
        ("/ready?full=1", "/ready"),
        ("/ready#now", "/ready"),
        ("/a b", "/a b"),
        ("/a%20b", "/a b"),
    ],
)
def test_a_probe_s_path_is_what_the_kubelet_makes_of_it(path: str, asked: str) -> None:
    """It reads it as a URL, and puts a slash before what begins with none."""
    assert kubelet({"livenessProbe": http(path, 80)}) == [(80, "GET", asked)]


def test_the_kubelet_s_hooks_are_let_in_as_its_probes_are() -> None:
    """postStart and preStop; not what nobody can look into, nor what goes to another host."""
    hooks = {"postStart": http("/warm", 80), "preStop": http("drain", 80)}
    others = {"postStart": http("/warm", 443, scheme="HTTPS"), "preStop": http("/", 80, host="10.0.0.1")}

    assert kubelet({"lifecycle": hooks}, {"lifecycle": others}) == [(80, "GET", "/warm"), (80, "GET", "/drain")]


def test_a_probe_s_port_is_named_by_its_own_container() -> None:
    """Another container's port of that name is another port, and no way in."""
    main, second = (
        {"ports": [{"name": "http", "containerPort": number}], "readinessProbe": http(path)}
        for number, path in ((80, "/main"), (81, "/second"))
    )

    assert kubelet(main, second, {"livenessProbe": http("/third")}) == [(80, "GET", "/main"), (81, "GET", "/second")]


SHOP = {"workload": {"matchLabels": {"app": "menu"}}}


WITHOUT = "pods have no proxy: nothing holds there"
BARE = ("NoProxy", f"1 of 1 {WITHOUT}")
STRANGE = "nobody in trust domain cluster.local can be spiffe://{} (did you mean " + identity("menu") + "?)"


def stated(found: Policies, one: Policy) -> Status:
    """The status of a policy beside others, in a namespace with two pods of menu and one that has no proxy."""
    menu = replace(MENU, account="menu")
    for pod in (menu, menu, Pod(frozenset({("app", "bare")}), account="cart", meshed=False)):
        found.pod_changed("shop", None, pod)
    found.put(one)
    return found.status(one, ["menu"])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"target": SHOP}, Status(2)),
        ({"target": {"service": {"name": "menu", "route": "list"}}}, Status(2)),
        ({}, Status(2, unresolved=("NoProxy", f"1 of 3 {WITHOUT}"))),
        (
            {"target": {"workload": {"matchLabels": {"app": "menus"}}}},
            Status(0, unresolved=("NoPods", "it is about no pod: none has app=menus (did you mean app=menu?)")),
        ),
        (
            {"target": {"service": {"name": "menus"}}},
            Status(0, unresolved=("NoService", "there is no Service menus (did you mean menu?); it is about no pod")),
        ),
        (
            {"target": {"service": {"name": "menu", "route": "lisst"}}},
            Status(2, unresolved=("NoRoute", "no route")),
        ),
        (
            {"target": SHOP, "ports": ["grpc"]},
            Status(0, unresolved=("NoPort", "no container declares port grpc")),
        ),
        (
            {"target": SHOP, "ports": ["http", "rwa", 8008, RAW]},
            Status(
                2,
                unresolved=("NoPort", "no container declares port 8008 (did you mean 8080?), rwa (did you mean raw?)"),
            ),
        ),
        ({"target": {"workload": {"matchLabels": {"app": "bare"}}}, "ports": [1]}, Status(0, unresolved=BARE)),
        (
            {"target": {"service": {"name": "menu"}}, "ports": ["http", 9100]},
            Status(2, unresolved=("NoPort", "Service menu leads to no port 9100 (did you mean 9000?)")),
        ),
        (
            {"target": SHOP, "rules": [{"from": [{"serviceAccount": {"name": "mneu"}}]}]},
            Status(2, unresolved=("UnknownAccount", "no pod runs as shop/mneu (did you mean shop/menu?)")),
        ),
        (
            {
                "target": SHOP,
                "rules": [{"from": [{"serviceAccount": {"name": "cart"}}, {"identity": identity("menu")}]}],
            },
            Status(2, unresolved=("NoIdentity", "pods of shop/cart have no proxy, so nobody proves to be it")),
        ),
        (
            {"target": SHOP, "rules": [{"from": [{"identity": "spiffe://cluster.locl/ns/shop/sa/menu"}]}]},
            Status(2, unresolved=("UnknownIdentity", STRANGE.format("cluster.locl/ns/shop/sa/menu"))),
        ),
        (
            {"target": SHOP, "rules": [{"from": [{"identity": "spiffe://cluster.local/shop/menu"}]}]},
            Status(2, unresolved=("UnknownIdentity", STRANGE.format("cluster.local/shop/menu"))),
        ),
        ({"rules": None, "egress": {"allow": []}}, Status(2, unresolved=("NoProxy", f"1 of 3 {WITHOUT}"))),
        (
            {"target": SHOP, "rules": [{"from": [{"namespace": "shop"}, {"namespace": "shp"}]}]},
            Status(2, unresolved=("UnknownNamespace", "no pod runs in namespace shp (did you mean shop?)")),
        ),
        ({"rules": []}, Status(0, "spec.rules is empty")),
    ],
)
def test_a_status_says_what_a_policy_is_about(spec: Json, expected: Status) -> None:
    """How many pods have it, what is not there, and what may have been meant."""
    given = {name: value for name, value in (ALLOW | spec).items() if value is not None}

    assert stated(state(), policy(given)) == expected


PAST = "pods are reached at {} past their proxy (skip-inbound-ports): nothing holds there"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, f"1 of 2 {PAST.format('25, 9000-9002')}"),
        ({"ports": ["raw"]}, f"1 of 2 {PAST.format('9000')}"),
        ({"target": {"service": {"name": "menu"}}}, f"1 of 2 {PAST.format('9000')}"),
        ({"target": {"service": {"name": "menu"}}, "ports": ["http"]}, ""),
        ({"ports": [HTTP]}, ""),
        ({"rules": None, "rateLimit": {"requestsPerSecond": 1}, "ports": [25]}, f"1 of 2 {PAST.format('25')}"),
        (
            {"rules": None, "egress": {"allow": []}},
            "1 of 2 pods dial ports or networks past their proxy (skip-outbound-ports, skip-subnets): "
            "nothing holds there",
        ),
    ],
)
def test_what_goes_past_a_proxy_is_told(spec: Json, told: str) -> None:
    """A policy holds at no port that the pod's annotations take from its proxy, and says so where it is about one."""
    found = state()
    past = replace(MENU, ports=(*MENU.ports, ("", 25)), skipped=(range(25, 26), range(9000, 9003)), skips_out=True)
    for pod in (past, replace(MENU, ports=(*MENU.ports, ("", 25)))):
        found.pod_changed("shop", None, pod)
    one = policy({name: value for name, value in (ALLOW | spec).items() if value is not None})

    assert found.status(one, ["menu"]).unresolved == (("NoProxy", told) if told else ("", ""))


def test_annotations_say_what_goes_past_a_proxy() -> None:
    """Of a pod that has one."""
    skips = {"config.weft.dev/skip-inbound-ports": "25", "config.weft.dev/skip-subnets": "192.0.2.0/24"}
    meta = {"name": "menu-1", "namespace": "shop", "annotations": skips}
    for labels, expected in (({}, ((), False)), ({"weft.dev/proxy-version": "1"}, ((range(25, 26),), True))):
        obj = msgspec.convert({"metadata": meta | {"labels": labels}, "spec": {"containers": []}}, objects.Pod)
        access = translate.pod(obj, "cluster.local").access
        assert access
        assert (access.skipped, access.skips_out) == expected


def test_an_egress_policy_without_pods_is_marked() -> None:
    """It is about all pods of the namespace: without any it holds nothing."""
    assert state().status(policy({"egress": {"allow": []}}), []).unresolved == ("NoPods", "it is about no pod")


@pytest.mark.parametrize(
    ("other", "shadowed"),
    [
        ({"target": SHOP} | ALLOW, "shop/other"),
        ({"action": "deny"} | ALLOW, "shop/other"),
        ({"target": SHOP, "ports": ["http"]} | ALLOW, ""),
        ({"target": SHOP, "mode": "audit"} | ALLOW, ""),
        ({"target": SHOP, "rules": [{"from": [{"authenticated": True}]}]}, ""),
        (ALLOW, ""),
    ],
)
def test_a_policy_that_decides_nothing_is_shadowed(other: Json, shadowed: str) -> None:
    """Something asked before it decides all calls to its pods."""
    found = state(policy(other, "other"))
    found.pod_changed("shop", None, MENU)
    found.put(policy(ALLOW))

    assert found.status(policy(ALLOW), ["menu"]).shadowed == shadowed
