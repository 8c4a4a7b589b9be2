"""What an AccessPolicy may say: each fault with its field, and what may have been meant."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_sp_validator.access import faults_of, warnings_of
from weft_testkit.truth import rows

Json = dict[str, Any]

PAGE = Path(__file__).parents[3] / "docs" / "access.md"
CART = {"serviceAccount": {"name": "cart"}}


def policy(*rules: Json, **spec: Any) -> Json:
    """A policy of namespace shop."""
    given_rules = {"rules": list(rules)} if rules else {}
    return {"metadata": {"name": "p", "namespace": "shop"}, "spec": {**given_rules, **spec}}


def called(**to: Any) -> Json:
    """A policy that lets `cart` call this."""
    return policy({"from": [CART], "to": [to]})


def by(**who: Any) -> Json:
    """A policy that lets this caller in."""
    return policy({"from": [who]})


@pytest.mark.parametrize("row", list(rows(PAGE)), ids=lambda row: row.text.strip("|"))
def test_policies_of_the_documentation_are_sound(row: Any) -> None:
    """The truth table's policies are let in."""
    assert [faults_of(one) for one in row.policies] == [[] for _ in row.policies]


@pytest.mark.parametrize(
    "sound",
    [
        policy({"from": [CART], "to": [{"methods": ["GET"], "paths": ["/a/{id}"], "pathPrefixes": ["/"]}]}),
        policy({"from": [CART], "to": [{"grpc": [{"service": "teahouse.v1.Menu", "method": "List"}]}]}),
        policy({"from": [{"cidr": "fd00::/8"}, {"cidr": "10.0.0.7"}]}, ports=["http", 8080], mode="audit"),
        policy({"from": [CART]}, target={"service": {"name": "menu", "route": "GET /menu"}}),
        policy(rateLimit={"requestsPerSecond": 10, "per": "target"}),
        policy(egress={"allow": [{"host": "*.example.com"}, {"cidr": "192.0.2.0/24", "ports": [443]}]}),
    ],
)
def test_sound_policies(sound: Json) -> None:
    """Nothing is said of what is right."""
    assert (faults_of(sound), warnings_of(sound)) == ([], [])


@pytest.mark.parametrize(
    ("faulty", "fault"),
    [
        (policy(), "spec.rules: is empty"),
        (policy({}), "spec.rules[0].from: is missing"),
        (policy({"from": []}), "spec.rules[0].from: is empty; for everybody say anyone: true"),
        (policy({"from": [CART]}, acton="deny"), "spec.acton: unknown field; did you mean action?"),
        (policy({"from": [CART]}, action="permit"), 'spec.action: "permit" is none of allow, deny'),
        (policy({"from": [CART]}, target={}), "spec.target: needs workload or service"),
        (policy({"from": [CART]}, target={"workload": {"matchLabels": {}}}), "matchLabels: is empty"),
        (policy({"from": [CART]}, ports=["80"]), 'spec.ports[0]: "80" is a text; did you mean 80 without quotes?'),
        (policy({"from": [CART]}, ports=["Http"]), 'did you mean "http"?'),
        (policy({"from": [CART]}, ports=[4191]), "spec.ports[0]: 4191 is the proxy's own"),
        (policy({"from": [CART]}, ports=[70000]), "spec.ports[0]: must be between 1 and 65535"),
        (by(), "says who in 0 ways"),
        (by(anyone=True, namespace="dev"), "says who in 2 ways"),
        (by(anyone=False), "can only be true"),
        (by(serviceAccount={"name": "Cart"}), 'did you mean "cart"?'),
        (by(serviceaccount={"name": "cart"}), "did you mean serviceAccount?"),
        (by(identity="cluster.local/ns/shop/sa/cart"), 'did you mean "spiffe://cluster.local/ns/shop/sa/cart"?'),
        (by(identity="spiffe://cluster.local/ns/*/sa/cart"), "is not a SPIFFE ID"),
        (by(cidr="10.1.2.3/8"), '"10.1.2.3/8" has bits beyond its prefix; did you mean 10.0.0.0/8?'),
        (by(cidr="10.0.0.0/33"), "is not a network"),
        (called(), "spec.rules[0].to[0]: selects nothing"),
        (called(methods=["get"]), "did you mean GET?"),
        (called(paths=["menu"]), 'must begin with "/", like "/menu"'),
        (called(paths=["/menu/*"]), "did you mean pathPrefixes: [/menu]?"),
        (called(paths=["/menu?all=1"]), 'did you mean "/menu"?'),
        (called(paths=["/a/../b"]), "could be read in two ways"),
        (called(paths=["/menu/{id"]), "must be a whole segment"),
        (called(pathPrefixes=["/menu/"]), 'ends in a slash; "/menu"'),
        (called(grpc=[{"service": "Menu/List"}]), "is not a gRPC service"),
        (called(grpc=[{"service": "Menu"}], methods=["GET"]), "has grpc beside methods or paths"),
        (
            policy({"from": [CART], "to": [{"methods": ["GET"]}]}, target={"service": {"name": "menu", "route": "r"}}),
            "spec.rules[0].to: does not go with target.service.route",
        ),
        (policy(rateLimit={"requestsPerSecond": 0}), "must be between 1"),
        (policy(rateLimit={"requestsPerSecond": 1}, action="deny"), "spec.action: does not go with rateLimit"),
        (policy(rateLimit={"requestsPerSecond": 1}, mode="audit"), "spec.mode: audit does not go with rateLimit"),
        (policy({"from": [CART]}, egress={"allow": []}), "spec.rules: does not go with egress"),
        (policy(egress={"allow": [{"host": "https://Api.example.com/x"}]}), 'did you mean "api.example.com"?'),
        (policy(egress={"allow": [{"host": "a.example", "ports": [443]}]}), "are for a cidr"),
        (policy(egress={"allow": [{}]}), "needs a host or a cidr"),
    ],
)
def test_faults_are_named(faulty: Json, fault: str) -> None:
    """Each by its field, with a suggestion where it can be guessed."""
    assert fault in "\n".join(map(str, faults_of(faulty)))


@pytest.mark.parametrize(
    ("odd", "warning"),
    [
        (policy({"from": [CART]}, {"from": [CART]}), "spec.rules[1]: says the same as rules[0]"),
        (policy({"from": [CART, {"anyone": True}]}), "anyone includes all others"),
        (policy({"from": [{"anyone": True}]}, action="deny"), "denies the kubelet's probes too"),
        (policy(egress={"allow": []}), "can call nothing outside the mesh"),
        (policy({"from": [CART]}) | {"metadata": {"namespace": "weft"}}, "the control plane looks after itself"),
    ],
)
def test_what_is_hardly_meant_is_told(odd: Json, warning: str) -> None:
    """It is let in, with a warning."""
    assert (faults_of(odd), warning in "\n".join(map(str, warnings_of(odd)))) == ([], True)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
fields = st.sampled_from(["target", "ports", "action", "mode", "rules", "rateLimit", "egress"])


@given(st.dictionaries(fields, values))
def test_nothing_is_too_odd_to_judge(spec: Json) -> None:
    """Whatever a field holds, there is an answer; and what is sound can be asked for warnings."""
    obj = {"metadata": {}, "spec": spec}
    if not faults_of(obj):
        warnings_of(obj)
