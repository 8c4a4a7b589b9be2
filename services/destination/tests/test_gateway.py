"""Routes of the Gateway API: what each says, who gets which rules in which order, and what its status says."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_destination.gateway.compiled import MAX_MATCHES, Entry, Table, compile_routes
from weft_destination.gateway.model import (
    Grant,
    HeaderChange,
    Match,
    Path,
    PathChange,
    Redirect,
    Retry,
    Rewrite,
    Route,
    Service,
    ValueMatch,
)
from weft_destination.gateway.read import read_route

Json = dict[str, Any]
SERVICES = {
    ("shop", "web"): Service({80: "http", 81: "admin"}),
    ("shop", "web-v2"): Service({80: "http"}),
    ("other", "web"): Service({80: "http"}),
    ("shop", "peers"): Service({80: "http"}, headless=True),
}
WEB = {"group": "", "kind": "Service", "name": "web"}


def route(
    *rules: Json,
    name: str = "r",
    namespace: str = "shop",
    kind: str = "HTTPRoute",
    parent: Json | None = None,
    created: str = "2026-01-01T00:00:00Z",
) -> Route:
    """A route of Service web, or of another parent."""
    meta = {"name": name, "namespace": namespace, "creationTimestamp": created, "generation": 1}
    return read_route(
        {"kind": kind, "metadata": meta, "spec": {"parentRefs": [WEB | (parent or {})], "rules": list(rules)}}
    )


def to(*names: str, **more: Any) -> Json:
    """A rule that sends everything to these Services' port 80."""
    return {"backendRefs": [{"name": name, "port": 80} for name in names], **more}


def path(value: str, kind: str = "PathPrefix", **more: Any) -> Json:
    """A match by path."""
    return {"path": {"type": kind, "value": value}, **more}


def conditions(table: Table, which: int = 0) -> dict[str, tuple[bool, str]]:
    """Status and reason of each condition of one parent."""
    return {one.type: (one.status, one.reason) for one in table.statuses[which].conditions}


def messages(table: Table, which: int = 0) -> str:
    """All messages of one parent."""
    return " ".join(one.message for one in table.statuses[which].conditions)


def test_every_field_of_a_rule_is_read() -> None:
    """Matches, filters, backends with weights and filters of their own, timeouts, retries, the rule's name."""
    rule = to("web", "web-v2") | {
        "name": "split",
        "matches": [
            path(
                "/tea",
                "Exact",
                method="GET",
                headers=[{"name": "X-Cup", "value": "1"}, {"name": "x-cup", "value": "2"}],
            ),
            {"queryParams": [{"name": "q", "type": "RegularExpression", "value": "a+"}]},
        ],
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "A", "value": "b"}]}},
            {
                "type": "URLRewrite",
                "urlRewrite": {"hostname": "h", "path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"}},
            },
        ],
        "timeouts": {"request": "1m30s", "backendRequest": "500ms"},
        "retry": {"codes": [503, 500, 503], "attempts": 3, "backoff": "100ms"},
    }
    rule["backendRefs"][1] |= {
        "weight": 3,
        "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["X-B"]}}],
    }

    (read,) = route(rule).rules

    assert (read.name, read.fault) == ("r/split", "")
    first, second = read.matches
    assert (first.path, first.value, first.method) == (Path.EXACT, "/tea", "GET")
    assert first.headers == (ValueMatch("x-cup", "1"),)
    assert (second.path, second.queries) == (Path.ANY, (ValueMatch("q", "a+", regex=True),))
    assert read.filters == (HeaderChange(add=(("a", "b"),)), Rewrite("h", PathChange("/x", prefix=False)))
    assert [(backend.name, backend.weight) for backend in read.backends] == [("web", 1), ("web-v2", 3)]
    assert read.backends[1].filters == (HeaderChange(response=True, remove=("x-b",)),)
    assert (read.request_timeout_ms, read.backend_timeout_ms) == (90_000, 500)
    assert read.retry == Retry((500, 503), 3, 100)


def test_a_redirect_is_read() -> None:
    """With every field."""
    fields = {"scheme": "https", "hostname": "tea", "port": 8443, "statusCode": 308}
    replaced = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}
    (rule,) = route({"filters": [{"type": "RequestRedirect", "requestRedirect": fields | replaced}]}).rules

    assert rule.filters == (Redirect(308, "https", "tea", 8443, PathChange("/new", prefix=True)),)


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (to("web", filters=[{"type": "RequestMirror"}]), "filter RequestMirror is not supported"),
        (to("web", filters=[{"type": "ExtensionRef"}]), "filter ExtensionRef is not supported"),
        (to("web", sessionPersistence={}), "sessionPersistence is not supported"),
        (to("web", matches=[path("(", "RegularExpression")]), "no regular expression"),
        (to("web", matches=[path("/(?=a)", "RegularExpression")]), "looks around"),
        (to("web", matches=[path("/", "Glob")]), "path type Glob is unknown"),
        (to("web", timeouts={"request": "1s", "backendRequest": "2s"}), "longer than timeouts.request"),
        (to("web", timeouts={"request": "1.5s"}), "'1.5s' is no duration"),
        (to("web", filters=[{"type": "RequestRedirect", "requestRedirect": {}}]), "a redirect and backendRefs"),
        (
            {"filters": [{"type": "RequestRedirect", "requestRedirect": {"statusCode": 200}}]},
            "a redirect with status 200",
        ),
    ],
)
def test_what_is_not_supported_is_in_the_status(rule: Json, fault: str) -> None:
    """Alone, the route is not accepted; beside a sound rule, it is invalid in part and the other rule holds."""
    alone, partly = compile_routes([route(rule)], SERVICES), compile_routes([route(rule, to("web"))], SERVICES)

    assert conditions(alone)["Accepted"] == (False, "UnsupportedValue")
    assert fault in messages(alone)
    assert alone.routes("shop", "web", 80, "shop") is None
    assert conditions(partly)["Accepted"] == (True, "Accepted")
    assert conditions(partly)["PartiallyInvalid"] == (True, "UnsupportedValue")
    assert partly.routes("shop", "web", 80, "shop")


@pytest.mark.parametrize(
    ("parent", "reason", "ports"),
    [
        ({}, "Accepted", [80, 81]),
        ({"port": 81}, "Accepted", [81]),
        ({"sectionName": "http"}, "Accepted", [80]),
        ({"sectionName": "http", "port": 81}, "NoMatchingParent", []),
        ({"port": 9}, "NoMatchingParent", []),
        ({"name": "none"}, "NoMatchingParent", []),
        ({"name": "peers"}, "UnsupportedValue", []),
    ],
)
def test_a_parent_is_a_service_and_its_ports(parent: Json, reason: str, ports: list[int]) -> None:
    """All of them, or those that number and name leave; headless ones have no ClusterIP to dial."""
    table = compile_routes([route(to("web"), parent=parent)], SERVICES)

    assert conditions(table)["Accepted"] == (reason == "Accepted", reason)
    assert sorted(frontend.port for frontend in table.entries) == ports


def test_parents_of_other_kinds_are_others_business() -> None:
    """A Gateway's controller writes their status."""
    table = compile_routes(
        [route(to("web"), parent={"group": "gateway.networking.k8s.io", "kind": "Gateway"})], SERVICES
    )

    assert table.statuses == ()


def test_hostnames_are_ignored_and_that_is_said() -> None:
    """GEP-1294: clients are told apart by the ClusterIP and port they dial, not by Host."""
    meta = {"name": "r", "namespace": "shop"}
    spec = {"parentRefs": [WEB], "hostnames": ["tea.example"], "rules": [to("web")]}
    table = compile_routes([read_route({"kind": "HTTPRoute", "metadata": meta, "spec": spec})], SERVICES)

    assert names(table.routes("shop", "web", 80, "shop")) == ["r/0"]
    assert "hostnames are ignored" in messages(table)


def names(entries: Sequence[Entry] | None) -> list[str]:
    """Rules in order."""
    return [entry.rule.name for entry in entries or ()]


def test_consumers_have_their_own_rules() -> None:
    """Of another namespace: they replace the producer's for clients of that namespace, and for nobody else."""
    producer = route(to("web"), name="producer")
    consumer = route(to("web"), name="consumer", namespace="other", parent={"namespace": "shop"})
    table = compile_routes([consumer, producer], SERVICES)

    assert names(table.routes("shop", "web", 80, "other")) == ["consumer/0"]
    assert names(table.routes("shop", "web", 80, "shop")) == ["producer/0"]
    assert names(table.routes("shop", "web", 80, "third")) == ["producer/0"]
    assert table.routes("other", "web", 80, "other") is None


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ({"name": "none", "port": 80}, "BackendNotFound"),
        ({"name": "web", "port": 9}, "BackendNotFound"),
        ({"name": "web"}, "BackendNotFound"),
        ({"name": "x", "kind": "Bucket", "group": "y"}, "InvalidKind"),
    ],
)
def test_a_backend_that_cannot_be_used_keeps_its_share(backend: Json, reason: str) -> None:
    """Of the requests, to answer them with 500; the route is accepted, and its references are not resolved."""
    table = compile_routes([route({"backendRefs": [{"name": "web", "port": 80}, backend]})], SERVICES)

    assert conditions(table) == {"Accepted": (True, "Accepted"), "ResolvedRefs": (False, reason)}
    (entry,) = table.routes("shop", "web", 80, "x") or ()
    assert [(one.weight, bool(one.fault)) for one in entry.rule.backends] == [(1, False), (1, True)]


def test_a_rule_without_anything_to_do_answers_500() -> None:
    """No backend, or none with a weight; the status says why."""
    for rule, why in (({}, "no backendRefs"), ({"backendRefs": [{"name": "web", "port": 80, "weight": 0}]}, "are 0")):
        table = compile_routes([route(rule)], SERVICES)
        (entry,) = table.routes("shop", "web", 80, "shop") or ()
        assert entry.rule.backends[-1].fault
        assert why in messages(table)


def test_grants_are_asked_for_only_when_wanted() -> None:
    """GEP-1294: routes of a mesh need none. Where they are wanted, the right one lets the route pass."""
    crossing = route({"backendRefs": [{"name": "web", "namespace": "other", "port": 80}]})
    grant = Grant("HTTPRoute", "shop", "other", "web")

    results = [
        conditions(compile_routes([crossing], SERVICES, grants))["ResolvedRefs"] for grants in (None, [grant], [])
    ]

    assert results == [(True, "ResolvedRefs"), (True, "ResolvedRefs"), (False, "RefNotPermitted")]


def test_grpc_routes_win_over_http_routes() -> None:
    """On the same port; on others the HTTPRoute holds, and its status says where not."""
    grpc = route(to("web"), name="g", kind="GRPCRoute", parent={"port": 80}, created="2027")
    table = compile_routes([route(to("web")), grpc], SERVICES)

    assert names(table.routes("shop", "web", 80, "shop")) == ["g/0"]
    assert names(table.routes("shop", "web", 81, "shop")) == ["r/0"]
    assert "not everywhere: a GRPCRoute holds port 80" in messages(table)
    only = compile_routes([route(to("web"), parent={"port": 80}), grpc], SERVICES)
    assert conditions(only)["Accepted"] == (False, "Conflicted")


def test_grpc_matches_are_paths() -> None:
    """/service/method, either of them open, or expressions."""
    methods = [
        {"service": "tea.Menu", "method": "Get"},
        {"service": "tea.Menu"},
        {"method": "Get"},
        {"type": "RegularExpression", "service": "tea[.].*"},
        {},
    ]
    (rule,) = route(to("web", matches=[{"method": one} for one in methods]), kind="GRPCRoute").rules

    assert [(match.path, match.value) for match in rule.matches] == [
        (Path.EXACT, "/tea.Menu/Get"),
        (Path.PREFIX, "/tea.Menu"),
        (Path.REGEX, "/[^/]+/Get"),
        (Path.REGEX, "/(?:tea[.].*)/(?:[^/]+)"),
        (Path.ANY, ""),
    ]


def test_a_huge_set_is_cut_at_the_youngest() -> None:
    """Older routes hold; the status of those beyond says so."""
    many = [path(f"/{number}") for number in range(128)]
    routes = [route(to("web", matches=many), name=f"r{at}", created=f"2026-{at}") for at in range(10, 20)]
    table = compile_routes(routes, SERVICES)

    assert len(table.routes("shop", "web", 80, "shop") or ()) == MAX_MATCHES
    assert [conditions(table, at)["Accepted"][0] for at in range(10)] == [True] * 8 + [False] * 2
    assert conditions(table, 9)["Accepted"] == (False, "TooManyMatches")


@dataclass(frozen=True)
class Request:
    """What a client sends."""

    path: str
    method: str
    headers: tuple[str, ...]


def takes(match: Match, request: Request) -> bool:
    """The specification's own words, one kind of path at a time."""
    prefix = request.path == match.value or request.path.startswith(match.value + "/")
    fits = {
        Path.ANY: True,
        Path.PREFIX: prefix,
        Path.EXACT: request.path == match.value,
        Path.REGEX: bool(re.fullmatch(match.value, request.path)),
    }
    named = all(header.name in request.headers for header in match.headers)
    return fits[match.path] and match.method in ("", request.method) and named


MATCHES = st.builds(
    lambda kind, value, method, headers: (
        path(value, kind, headers=[{"name": h, "value": "1"} for h in headers]) | ({"method": method} if method else {})
    ),
    st.sampled_from(["Exact", "PathPrefix"]),
    st.sampled_from(["/", "/a", "/a/b", "/ab", "/a/"]),
    st.sampled_from(["", "GET", "POST"]),
    st.sets(st.sampled_from(["x", "y"])),
)
RULES = st.lists(
    st.builds(lambda matches: to("web", matches=matches), st.lists(MATCHES, min_size=1, max_size=3)), max_size=3
)
ROUTES = st.lists(
    st.tuples(
        RULES.filter(bool),
        st.sampled_from("abc"),
        st.sampled_from(["2026", "2027"]),
        st.sampled_from(["shop", "other"]),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda made: (made[1], made[3]),
)
REQUESTS = st.builds(
    Request,
    st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/ab", "/c"]),
    st.sampled_from(["GET", "POST", "PUT"]),
    st.sets(st.sampled_from(["x", "y"])).map(tuple),
)


def wanted(routes: list[Route], request: Request) -> str | None:
    """The rule by the precedence of HTTPRouteRule, of all matches compared one by one."""
    found = [
        (
            (-(match.path == Path.EXACT), -len(match.value), not match.method, -len(match.headers)),
            (one.created, f"{one.namespace}/{one.name}", at),
            rule.name,
        )
        for one in routes
        for at, rule in enumerate(one.rules)
        for match in rule.matches
        if takes(match, request)
    ]
    return min(found)[2] if found else None


@given(ROUTES, REQUESTS, st.randoms(use_true_random=False))
def test_the_first_entry_is_the_one_of_highest_precedence(
    made: list[tuple[list[Json], str, str, str]], request: Request, order: random.Random
) -> None:
    """Exact, then the longest prefix, method, number of headers; then the oldest route, its name, the rule's place.

    In whatever order the routes came; and each namespace's clients by their own routes, if it has any.
    """
    routes = [
        route(*rules, name=name, created=created, namespace=namespace, parent={"namespace": "shop"})
        for rules, name, created, namespace in made
    ]
    shuffled = list(routes)
    order.shuffle(shuffled)
    table = compile_routes(shuffled, SERVICES)

    for client in ("shop", "other", "third"):
        held = [one for one in routes if one.namespace == "other"] if client == "other" else []
        held = held or [one for one in routes if one.namespace == "shop"]
        entries = table.routes("shop", "web", 80, client) or ()
        first = next((entry.rule.name for entry in entries if takes(entry.match, request)), None)
        assert first == wanted(held, request)
    assert len(table.statuses) == len(routes)
