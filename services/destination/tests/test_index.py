"""The index answers from facts alone, whatever the order in which they came."""

from operator import attrgetter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from weft_destination import model
from weft_destination.gateway import model as gateway
from weft_destination.index import Index
from weft_destination.model import EndpointsTarget, InboundTarget, OutboundTarget, Ports, Protocol
from weft_destination.policy import model as policy
from weft_destination.policy.read import read_policy
from weft_destination.route import Match, Path, RetryBudget, Route

WEB = ("ns", "web")
VIP = bytes([10, 96, 0, 1])
PORT = model.ServicePort(80, "http", Protocol.DETECT)
WEB_80 = EndpointsTarget("ns", "web", 80)


def ip(last: int) -> bytes:
    """A pod's address."""
    return bytes([10, 0, 0, last])


def pod(number: int, **facts: Any) -> model.Pod:
    """Pod `web-<number>` with the address 10.0.0.<number>, meshed."""
    values: dict[str, Any] = {
        "key": ("ns", f"web-{number}"),
        "ips": (ip(number),),
        "created": "2026",
        "identity": "spiffe://cluster.local/ns/ns/sa/web",
        "not_intercepted": Ports(),
        "opaque": None,
        "workload_kind": "deployment",
        "workload": "web",
    }
    return model.Pod(**(values | facts))


def slice_(name: str, *pods: int, port: model.SlicePort | None = None, owner: model.Key = WEB) -> model.Slice:
    """A slice of Service `web` with these pods."""
    ready = tuple(model.SliceEndpoint(ip(number), f"web-{number}", "") for number in pods)
    return model.Slice(("ns", name), owner, (port or model.SlicePort("http", 8080, None),), ready)


def web(protocol: Protocol = Protocol.DETECT, access: policy.Service | None = None) -> model.Service:
    """Service `web`."""
    return model.Service(WEB, (VIP,), (model.ServicePort(80, "http", protocol),), access=access)


def index_of(*facts: object) -> Index:
    """An index that knows these facts."""
    index = Index()
    for fact in facts:
        table_of(index, fact).apply(fact)
    return index


def table_of(index: Index, fact: object) -> Any:
    """The table that holds facts of this kind."""
    tables = {
        model.Service: index.services,
        model.Slice: index.slices,
        model.Pod: index.pods,
        model.Profile: index.profiles,
    }
    return tables[type(fact)]


def names(answer: model.Answer) -> list[str]:
    """The pods of an answer."""
    assert isinstance(answer, model.Endpoints)
    return [endpoint.pod for endpoint in answer.endpoints]


def test_a_service_port_has_the_endpoints_of_all_its_slices() -> None:
    """An endpoint in two slices, as while it moves from one to the other, counts once."""
    index = index_of(web(), pod(1), pod(2), slice_("a", 1), slice_("b", 1, 2))
    assert names(index.answer(WEB_80)) == ["web-1", "web-2"]


def test_an_absent_service_is_told_from_an_empty_one() -> None:
    """No Service: it does not exist; no slices: it exists without endpoints."""
    assert index_of().answer(WEB_80) == model.Endpoints(exists=False)
    assert index_of(web()).answer(WEB_80) == model.Endpoints(exists=True)


def test_an_endpoint_waits_for_its_pod() -> None:
    """A slice that is ahead of the pods' watch must not make a meshed pod look unmeshed."""
    assert names(index_of(web(), slice_("a", 1)).answer(WEB_80)) == []


def test_an_endpoint_with_an_old_address_is_left_out() -> None:
    """A StatefulSet's pod that came back elsewhere is not called where it was."""
    index = index_of(web(), pod(1, ips=(ip(9),)), slice_("a", 1))
    assert names(index.answer(WEB_80)) == []


def test_nobody_lends_a_pod_an_address() -> None:
    """An EndpointSlice written by hand may name a pod on its node's network: only that node's addresses are its."""
    index = index_of(web(), pod(1, ips=(), node_ips=(ip(1),)), pod(2, ips=(), node_ips=(ip(9),)), slice_("a", 1, 2))
    assert names(index.answer(WEB_80)) == ["web-1"]


def test_a_terminating_pod_takes_no_new_requests() -> None:
    """A pod that is being deleted leaves before its slice says so."""
    index = index_of(web(), pod(1, terminating=True), pod(2), slice_("a", 1, 2))
    assert names(index.answer(WEB_80)) == ["web-2"]


def test_ports_that_are_not_intercepted_have_no_identity() -> None:
    """The proxy cannot answer where iptables does not send it the connection."""
    index = index_of(pod(1, not_intercepted=Ports((range(8080, 8081),))))
    answers = [index.answer(OutboundTarget(ip(1), port)) for port in (8080, 8081)]
    assert [a.endpoint.identity != "" for a in answers if isinstance(a, model.ToPod)] == [False, True]


def test_a_cluster_ip_leads_to_its_service() -> None:
    """Routes and budget are those of the profile of that name; another port of the address leads nowhere."""
    profile = model.Profile(WEB, (Route("all"),), None)
    index = index_of(web(), profile)
    expected = model.ToService(WEB_80, Protocol.DETECT, (Route("all"),), None)
    assert index.answer(OutboundTarget(VIP, 80)) == expected
    assert index.answer(OutboundTarget(VIP, 81)) == model.NotInMesh(Protocol.DETECT)


def test_ipv4_in_ipv6_is_ipv4() -> None:
    """Dual-stack sockets show 10.96.0.1 as ::ffff:10.96.0.1."""
    mapped = bytes(10) + b"\xff\xff" + VIP
    assert isinstance(index_of(web()).answer(OutboundTarget(mapped, 80)), model.ToService)


def test_databases_outside_the_mesh_are_opaque() -> None:
    """A server that speaks first is not kept waiting only because nobody knows it."""
    assert index_of().answer(OutboundTarget(ip(1), 3306)) == model.NotInMesh(Protocol.OPAQUE)


def test_the_newest_pod_owns_an_address() -> None:
    """While an ended pod is not yet known to have ended, its successor counts."""
    index = index_of(pod(1, created="2026-01"), pod(2, ips=(ip(1),), created="2026-02"))
    answer = index.answer(OutboundTarget(ip(1), 80))
    assert isinstance(answer, model.ToPod)
    assert answer.endpoint.pod == "web-2"


def test_a_pod_makes_its_service_opaque() -> None:
    """The annotation on a pod counts for those who call it through a Service, too."""
    index = index_of(web(), pod(1, opaque=Ports((range(8080, 8081),))), slice_("a", 1))
    answer = index.answer(OutboundTarget(VIP, 80))
    assert isinstance(answer, model.ToService)
    assert answer.protocol == Protocol.OPAQUE


def test_a_pod_speaks_what_its_services_declare() -> None:
    """Who dials a pod of a headless Service knows what that Service's port declares; inbound still looks at it."""
    index = index_of(pod(1), slice_("a", 1, port=model.SlicePort("grpc", 9090, Protocol.GRPC)))
    answer = index.answer(OutboundTarget(ip(1), 9090))
    assert isinstance(answer, model.ToPod)
    assert answer.protocol == Protocol.GRPC
    assert index.answer(InboundTarget("ns", "web-1", 9090)) == model.Inbound(Protocol.DETECT)
    assert index.answer(InboundTarget("ns", "web-1", 6379)) == model.Inbound(Protocol.OPAQUE)


def test_equal_facts_change_nothing() -> None:
    """Status updates that say nothing new wake nobody."""
    index = index_of(web(), pod(1), slice_("a", 1))
    index.take_changed()
    for fact in (web(), pod(1), slice_("a", 1)):
        table_of(index, fact).apply(fact)
    assert index.take_changed() == set()


def attached(*paths: str) -> gateway.Route:
    """HTTPRoute `r` of Service `web`, with a rule for these paths."""
    matches = tuple(gateway.RankedMatch((0,), Match(Path.EXACT, path)) for path in paths)
    rules = (gateway.Rule("r/0", matches),)
    return gateway.Route("HTTPRoute", "ns", "r", "2026", 1, (gateway.Parent(*WEB),), rules)


ANYONE = {"rules": [{"from": [{"anyone": True}]}]}
SELECTED = policy.Pod(frozenset({("app", "web")}), (("http", 8080),))
SELECTING = policy.Service((("app", "web"),), ("http",))
FACTS: dict[str, list[Any]] = {
    "services": [web(), web(Protocol.GRPC), model.Service(WEB, (VIP, ip(3)), (PORT,)), web(access=SELECTING)],
    "slices": [slice_("a", 1), slice_("a", 1, 2), slice_("b", 2), slice_("b", 3), slice_("a", 1, owner=("ns", "x"))],
    "pods": [
        *(pod(1), pod(1, ips=(ip(2),)), pod(2), pod(2, identity=""), pod(3, terminating=True), pod(3)),
        *(pod(1, access=SELECTED), pod(2, access=policy.Pod(default="deny")), pod(3, access=policy.Pod())),
    ],
    "profiles": [model.Profile(WEB, (Route("r"),), None), model.Profile(WEB, (), RetryBudget())],
    "policies": [
        read_policy(("ns", "a"), ANYONE, "cluster.local"),
        read_policy(("ns", "a"), ANYONE | {"target": {"service": {"name": "web", "route": "r"}}}, "cluster.local"),
        read_policy(("ns", "b"), ANYONE | {"target": {"service": {"name": "web"}}}, "cluster.local"),
        read_policy(("ns", "c"), {"egress": {"allow": []}}, "cluster.local"),
        read_policy(("ns", "d"), {}, "cluster.local"),
    ],
    "gateway.http_routes": [attached("/a"), attached("/a", "/b")],
    "namespaces": [policy.Namespace("ns", ""), policy.Namespace("ns", "deny"), policy.Namespace("x", "deny")],
}
TARGETS: list[model.Target] = [
    WEB_80,
    *(OutboundTarget(address, 80, client) for address in (VIP, ip(1), ip(2), ip(3)) for client in ("ns", "x")),
    *(InboundTarget("ns", f"web-{number}", 8080) for number in (1, 2, 3)),
]
kinds = st.sampled_from(sorted(FACTS))
changes = kinds.flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.one_of(
            st.sampled_from(FACTS[kind]).map(lambda fact: ("apply", fact)),
            st.sampled_from(FACTS[kind]).map(lambda fact: ("delete", fact.key)),
            st.lists(st.sampled_from(FACTS[kind]), unique_by=lambda fact: fact.key).map(lambda all_: ("reset", all_)),
        ),
    )
)
histories = st.lists(changes, max_size=30)


def play(index: Index, kind: str, verb: str, value: Any) -> None:
    """One change."""
    getattr(attrgetter(kind)(index), verb)(value)


@given(histories)
def test_any_history_ends_like_its_final_facts(history: list[tuple[str, tuple[str, Any]]]) -> None:
    """Any order of changes and resets gives the answers that the facts left at the end give on their own."""
    index = Index()
    for kind, (verb, value) in history:
        play(index, kind, verb, value)
    fresh = Index()
    for kind in sorted(FACTS, reverse=True):
        play(fresh, kind, "reset", list(attrgetter(kind)(index).rows.values()))
    assert [index.answer(target) for target in TARGETS] == [fresh.answer(target) for target in TARGETS]


@given(histories)
def test_every_changed_answer_is_told(history: list[tuple[str, tuple[str, Any]]]) -> None:
    """An answer that differs after a change has its dependency among what changed: nobody is left with an old one."""
    index = Index()
    answers = {target: index.answer(target) for target in TARGETS}
    for kind, (verb, value) in history:
        play(index, kind, verb, value)
        changed = index.take_changed()
        for target in TARGETS:
            if changed.isdisjoint(model.dependencies(target)):
                assert index.answer(target) == answers[target]
            answers[target] = index.answer(target)
