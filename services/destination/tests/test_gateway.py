"""Routes of the Gateway API: what each says, who gets which rules in which order, and what its status says."""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_destination.encode_route import pb_route
from weft_destination.gateway import read
from weft_destination.gateway.compiled import MAX_MATCHES
from weft_destination.gateway.model import Grant, Grants, Route
from weft_destination.gateway.store import Gateway
from weft_destination.model import Key, Protocol, Service, ServicePort
from weft_destination.route import (
    NO_SETTINGS,
    HeaderChange,
    Match,
    Path,
    PathChange,
    Redirect,
    Retry,
    Rewrite,
    Settings,
    ValueMatch,
)
from weft_destination.route import Route as ToldRoute
from weft_kube.objects import GatewayRoute

Json = dict[str, Any]
IP = (bytes([10, 96, 0, 1]),)


def service(namespace: str, name: str, ports: dict[int, str], ips: tuple[bytes, ...] = IP, **more: Any) -> Service:
    """A Service with named ports."""
    declared = tuple(ServicePort(number, word, Protocol.DETECT) for number, word in ports.items())
    return Service((namespace, name), ips, declared, **more)


SERVICES = [
    service("shop", "web", {80: "http", 81: "admin"}),
    service("shop", "web-v2", {80: "http"}),
    service("other", "web", {80: "http"}),
    service("shop", "peers", {80: "http"}, ips=()),
    service("shop", "outside", {80: "http"}, ips=(), external=True),
    Service(("shop", "data"), IP, (ServicePort(6379, "redis", Protocol.OPAQUE),)),
]
WEB = {"group": "", "kind": "Service", "name": "web"}
READ = {"HTTPRoute": read.http_route, "GRPCRoute": read.grpc_route}


class Cluster:
    """A gateway that knows some Services, and the answers to what tests ask."""

    def __init__(self, made: Iterable[Route] = ()) -> None:
        self.services: dict[Key, Service] = {}
        self.touched: set[Key] = set()
        self.gateway = Gateway(self.services, self.touched.add, lambda *_: "")
        for known in SERVICES:
            self.put(known)
        self.routes = list(made)
        for one in self.routes:
            self.apply(one)

    def put(self, one: Service) -> None:
        """A Service is new or changed."""
        before, self.services[one.key] = self.services.get(one.key), one
        self.gateway.service_changed(before, one)

    def apply(self, made: Route) -> None:
        """A route is new or changed."""
        table = self.gateway.http_routes if made.kind == "HTTPRoute" else self.gateway.grpc_routes
        table.apply(made)

    def rules(self, port: int = 80, client: str = "shop", key: Key = ("shop", "web")) -> list[str] | None:
        """The rules for a client's requests, in order; None when no route holds."""
        routes = self.gateway.routes(key, port, client, NO_SETTINGS)
        return None if routes is None else [one.name for one in routes]

    def told(self, client: str = "shop", defaults: Settings = NO_SETTINGS) -> tuple[ToldRoute, ...]:
        """What a client's proxy is told of Service web's port 80."""
        return self.gateway.routes(("shop", "web"), 80, client, defaults) or ()

    def conditions(self, which: int = 0) -> dict[str, tuple[bool, str]]:
        """Status and reason of each condition of a route's first parent."""
        ((_, conditions), *_) = self.gateway.conditions(self.routes[which])
        return {one.type: (one.status, one.reason) for one in conditions}

    def messages(self, which: int = 0) -> str:
        """All messages of a route."""
        found = self.gateway.conditions(self.routes[which])
        return " ".join(one.message for _, conditions in found for one in conditions)


def route(
    *rules: Json,
    name: str = "r",
    namespace: str = "shop",
    kind: str = "HTTPRoute",
    parent: Json | None = None,
    created: str = "2026-01-01T00:00:00Z",
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Route:
    """A route of Service web, or of another parent."""
    meta: Json = {"name": name, "namespace": namespace, "creationTimestamp": created, "generation": 1}
    meta["annotations"] = annotations or {}
    return READ[kind](
        msgspec.convert(
            {"metadata": meta, "spec": {"parentRefs": [WEB | (parent or {})], "rules": list(rules)} | spec},
            GatewayRoute,
        )
    )


def to(*names: str, **more: Any) -> Json:
    """A rule that sends everything to these Services' port 80."""
    return {"backendRefs": [{"name": name, "port": 80} for name in names], **more}


def path(value: str, kind: str = "PathPrefix", **more: Any) -> Json:
    """A match by path."""
    return {"path": {"type": kind, "value": value}, **more}


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

    (found,) = route(rule).rules

    assert (found.name, found.fault) == ("r/split", "")
    first, second = (ranked.match for ranked in found.matches)
    assert (first.path, first.value, first.method) == (Path.EXACT, "/tea", "GET")
    assert first.headers == (ValueMatch("x-cup", "1"),)
    assert (second.path, second.queries) == (Path.ANY, (ValueMatch("q", "a+", regex=True),))
    assert found.filters == (HeaderChange(add=(("a", "b"),)), Rewrite("h", PathChange("/x", prefix=False)))
    assert [(backend.name, backend.weight) for backend in found.backends] == [("web", 1), ("web-v2", 3)]
    assert found.backends[1].filters == (HeaderChange(response=True, remove=("x-b",)),)
    assert (found.request_timeout_ms, found.backend_timeout_ms) == (90_000, 500)
    assert found.retry == Retry((500, 503), (), 3, 100, listed_only=True)


def test_a_redirect_is_read() -> None:
    """With every field."""
    fields = {"scheme": "https", "hostname": "tea", "port": 8443, "statusCode": 308}
    replaced = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}
    (rule,) = route({"filters": [{"type": "RequestRedirect", "requestRedirect": fields | replaced}]}).rules

    assert rule.filters == (Redirect(308, "https", "tea", 8443, PathChange("/new", prefix=True)),)


def changing(**changes: Any) -> Json:
    """A filter of a request's headers."""
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": changes}


def rewriting(path_: str) -> Json:
    """A filter that gives a request another path."""
    return {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": path_}}}


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (to("web", filters=[{"type": "RequestMirror"}]), "filter RequestMirror is not supported"),
        (to("web", filters=[{"type": "ExtensionRef"}]), "filter ExtensionRef is not supported"),
        (to("web", sessionPersistence={}), "sessionPersistence is not supported"),
        (to("web", matches=[path("(", "RegularExpression")]), "unterminated group"),
        (to("web", matches=[path("/(?=a)", "RegularExpression")]), "unsupported look-ahead"),
        (to("web", matches=[path("/", "Glob")]), "path type Glob is unknown"),
        (
            to("web", matches=[{"headers": [{"name": "x", "type": "Glob", "value": "*"}]}]),
            "headers type Glob is unknown",
        ),
        (to("web", matches=[{"path": {"value": "/", "ignoreCase": True}}]), "ignoreCase is not supported"),
        (to("web", matches=[{"headers": [{"name": "x y", "value": "z"}]}]), "name 'x y' is no word of HTTP"),
        (
            to("web", filters=[changing(set=[{"name": "Host", "value": "x"}])]),
            "header host cannot be changed; URLRewrite",
        ),
        (to("web", filters=[changing(remove=["weft-client-id"])]), "header weft-client-id cannot be changed"),
        (to("web", filters=[changing(add=[{"name": "x", "value": "a\r\nb: c"}])]), "cannot be the value of a header"),
        (to("web", filters=[{"type": "URLRewrite", "urlRewrite": {"hostname": "a/b"}}]), "'a/b' is no hostname"),
        (to("web", filters=[rewriting("tea")]), "replaceFullPath 'tea' is no path"),
        (to("web", filters=[rewriting("/tea?cup")]), "replaceFullPath '/tea?cup' is no path"),
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
    alone, partly = Cluster([route(rule)]), Cluster([route(rule, to("web"))])

    assert alone.conditions()["Accepted"] == (False, "UnsupportedValue")
    assert fault in alone.messages()
    assert alone.rules() is None
    assert partly.conditions()["Accepted"] == (True, "Accepted")
    assert partly.conditions()["PartiallyInvalid"] == (True, "UnsupportedValue")
    assert "Dropped Rule r/0" in partly.messages()
    assert "r/1" in (partly.rules() or [])


BAD = path("/", "Glob")


@pytest.mark.parametrize("matches", [[BAD, path("/tea")], [path("/tea"), BAD]])
def test_a_match_that_is_not_supported_takes_no_other_with_it(matches: list[Json]) -> None:
    """The rule does what it says for its other matches, and the status names the one that is left out."""
    cluster = Cluster([route(to("web", matches=matches), to("web-v2", matches=[path("/")]))])
    first, *_ = cluster.told()

    assert (first.name, [one.value for one in first.matches], first.answer) == ("r/0", ["/tea"], None)
    assert cluster.conditions()["Accepted"] == (True, "Accepted")
    assert cluster.conditions()["PartiallyInvalid"] == (True, "UnsupportedValue")
    where = f"spec.rules[0].matches[{matches.index(BAD)}]"
    assert f"Dropped Rule r/0 in part, those requests fall to other rules: {where}: path type" in cluster.messages()


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
        ({"name": "outside"}, "UnsupportedValue", []),
        ({"name": "data"}, "UnsupportedValue", []),
    ],
)
def test_a_parent_is_a_service_and_its_ports(parent: Json, reason: str, ports: list[int]) -> None:
    """All of them, or those that number and name leave; headless ones have no ClusterIP to dial, and no requests are
    seen on opaque ports."""
    cluster = Cluster([route(to("web"), parent=parent)])

    assert cluster.conditions()["Accepted"] == (reason == "Accepted", reason)
    assert [port for port in (80, 81) if cluster.rules(port)] == ports


def test_parents_of_other_kinds_are_others_business() -> None:
    """A Gateway's controller writes their status."""
    made = route(to("web"), parent={"group": "gateway.networking.k8s.io", "kind": "Gateway"})

    assert Cluster().gateway.conditions(made) == []


@pytest.mark.parametrize(
    ("group", "kind", "missing"),
    [
        (None, "Service", "no kind Service in group gateway.networking.k8s.io"),
        ("core", "Service", "no kind Service in group core"),
        ("", None, "no kind Gateway in the core group"),
    ],
)
def test_a_parent_whose_group_or_kind_was_forgotten_is_told(group: str | None, kind: str | None, missing: str) -> None:
    """Their defaults are a Gateway's: such a kind is nobody's, so nobody else would say a word."""
    cluster = Cluster([route(to("web"), parent={"group": group, "kind": kind})])

    assert (cluster.conditions()["Accepted"], cluster.rules()) == ((False, "NoMatchingParent"), None)
    assert f'there is {missing}: a Service is written group: "", kind: Service' in cluster.messages()
    assert [one.name for one in cluster.gateway.naming(("shop", "web"))] == ["r"]


def test_hostnames_are_ignored_and_that_is_said() -> None:
    """GEP-1294: clients are told apart by the ClusterIP and port they dial, not by Host."""
    cluster = Cluster([route(to("web"), hostnames=["tea.example"])])

    assert cluster.rules() == ["r/0"]
    assert "hostnames are ignored" in cluster.messages()


def test_consumers_have_their_own_rules() -> None:
    """Of another namespace: they replace the producer's for clients of that namespace, and for nobody else."""
    producer = route(to("web"), name="producer")
    consumer = route(to("web"), name="consumer", namespace="other", parent={"namespace": "shop"})
    cluster = Cluster([consumer, producer])

    assert {client: cluster.rules(client=client) for client in ("other", "shop", "third")} == {
        "other": ["consumer/0"],
        "shop": ["producer/0"],
        "third": ["producer/0"],
    }
    assert cluster.rules(client="other", key=("other", "web")) is None


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ({"name": "none", "port": 80}, "BackendNotFound"),
        ({"name": "outside", "port": 80}, "BackendNotFound"),
        ({"name": "web", "port": 9}, "BackendNotFound"),
        ({"name": "web"}, "BackendNotFound"),
        ({"name": "x", "kind": "Bucket", "group": "y"}, "InvalidKind"),
    ],
)
def test_a_backend_that_cannot_be_used_keeps_its_share(backend: Json, reason: str) -> None:
    """Of the requests, to answer them with 500; the route is accepted, and its references are not resolved."""
    cluster = Cluster([route({"backendRefs": [{"name": "web", "port": 80}, backend]})])

    assert cluster.conditions() == {"Accepted": (True, "Accepted"), "ResolvedRefs": (False, reason)}
    (told,) = cluster.told()
    assert [(one.weight, one.answer and one.answer.status) for one in told.backends] == [(1, None), (1, 500)]


@pytest.mark.parametrize(
    ("rule", "why"), [({}, "no backendRefs"), ({"backendRefs": [{"name": "web", "port": 80, "weight": 0}]}, "are 0")]
)
def test_a_rule_without_anything_to_do_answers_500(rule: Json, why: str) -> None:
    """No backend, or none with a weight; the status says why."""
    cluster = Cluster([route(rule)])
    (told,) = cluster.told()

    assert told.answer
    assert told.answer.status == 500
    assert why in told.answer.message
    assert why in cluster.messages()


@pytest.mark.parametrize(
    ("namespace", "grants", "reason"),
    [
        ("shop", [], "RefNotPermitted"),
        ("shop", [Grant("HTTPRoute", "shop", "web")], "ResolvedRefs"),
        ("shop", [Grant("HTTPRoute", "shop")], "ResolvedRefs"),
        ("shop", [Grant("HTTPRoute", "shop", "else"), Grant("GRPCRoute", "shop")], "RefNotPermitted"),
        ("third", [], "ResolvedRefs"),
    ],
)
def test_who_needs_a_grant(namespace: str, grants: list[Grant], reason: str) -> None:
    """A route that moves others' requests to another namespace: they carry those clients' identities. A consumer's
    route moves only what its own namespace could send there itself (GEP-1294)."""
    backend = {"name": "web", "namespace": "other", "port": 80}
    made = route({"backendRefs": [backend]}, namespace=namespace, parent={"namespace": "shop"})
    cluster = Cluster([made])
    cluster.gateway.grants.apply(Grants(("elsewhere", "g"), frozenset({Grant("HTTPRoute", "shop")})))
    cluster.gateway.grants.apply(Grants(("other", "g"), frozenset(grants)))

    assert cluster.conditions()["ResolvedRefs"] == (reason == "ResolvedRefs", reason)


def test_grpc_routes_win_over_http_routes() -> None:
    """On the same port; on others the HTTPRoute holds, and its status says where not."""
    grpc = route(to("web"), name="g", kind="GRPCRoute", parent={"port": 80}, created="2027")
    cluster = Cluster([route(to("web")), grpc])

    assert (cluster.rules(80), cluster.rules(81)) == (["g/0"], ["r/0"])
    assert "not everywhere: a GRPCRoute holds port 80" in cluster.messages()
    assert Cluster([route(to("web"), parent={"port": 80}), grpc]).conditions()["Accepted"] == (False, "Conflicted")


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

    assert [(ranked.match.path, ranked.match.value) for ranked in rule.matches] == [
        (Path.EXACT, "/tea.Menu/Get"),
        (Path.PREFIX, "/tea.Menu"),
        (Path.REGEX, "/[^/]+/Get"),
        (Path.REGEX, "/(?:tea[.].*)/(?:[^/]+)"),
        (Path.ANY, ""),
    ]


def test_retries_that_are_switched_off() -> None:
    """attempts: 0 sends nothing again, whatever the Service's annotations say; without a word they hold."""
    defaults = Settings(retry=Retry((503,)))
    cluster = Cluster([route(to("web", retry={"attempts": 0}, name="none"), to("web", name="usual"))])
    told = {one.name: pb_route(one) for one in cluster.told(defaults=defaults)}

    assert {name: (one.retryable, one.HasField("retry"), one.single_try) for name, one in told.items()} == {
        "r/none": (False, False, True),
        "r/usual": (True, True, False),
    }


def test_retries_without_codes() -> None:
    """None is configured, so none is retried: proxies send elsewhere what reached no application without being told. Of
    annotations it is failures, but they do not come into a rule that says something itself."""
    rules = to("web", retry={"attempts": 2}, name="unseen"), to("web", name="usual")
    told = Cluster([route(*rules)]).told(defaults=Settings(retry=Retry()))
    found = {one.name: (one.retryable, one.HasField("retry"), one.single_try) for one in map(pb_route, told)}

    assert found == {"r/unseen": (False, False, False), "r/usual": (True, True, False)}


def test_timeouts_that_are_switched_off() -> None:
    """0s is no timeout, whatever annotations or the clients' own settings say; without a word those hold."""
    rules = to("web", timeouts={"request": "0s"}, name="none"), to("web", name="usual")
    for default, usual in ((None, (0, False)), (0, (0, True)), (9000, (9000, False))):
        told = {one.name: pb_route(one) for one in Cluster([route(*rules)]).told(defaults=Settings(timeout_ms=default))}
        found = {name: (one.request_timeout_ms, one.no_request_timeout) for name, one in told.items()}
        assert found == {"r/none": (0, True), "r/usual": usual}


def test_annotations_of_a_route() -> None:
    """What its rules do not say: before the Service's, after the rule's own, each with whose it is; a fault is told in
    the status."""
    config = "config.weft.dev/"
    annotations = {
        f"{config}request-timeout": "2s",
        f"{config}retry-grpc-codes": "14",
        f"{config}breaker-failures": "1",
    }
    made = route(to("web", name="own", timeouts={"request": "1s"}), to("web", name="none"), annotations=annotations)
    cluster = Cluster([made])
    told = {one.name: one for one in cluster.told(defaults=Settings(timeout_ms=9000, backend_timeout_ms=500))}

    assert {name: one.timeout_ms for name, one in told.items()} == {"r/own": 1000, "r/none": 2000}
    assert (told["r/none"].backend_timeout_ms, told["r/none"].retry) == (500, Retry((), (14,)))
    routes, services = "annotations of HTTPRoute shop/r", "annotations of the Service"
    assert {name: dict(one.inherited) for name, one in told.items()} == {
        "r/own": {"retry": routes, "try-timeout": services},
        "r/none": {"timeout": routes, "retry": routes, "try-timeout": services},
    }
    assert f"annotation {config}breaker-failures: a route has no such setting" in cluster.messages()


def many(count: int, **rule: Any) -> list[Json]:
    """Matches of different paths."""
    return [path(f"/{number}", **rule) for number in range(count)]


@pytest.mark.parametrize(
    "matches",
    [
        many(128),
        many(64, headers=[{"name": f"h{at}", "value": "x" * 80} for at in range(12)]),
        [path(f"/[a-z]{{{number}}}", "RegularExpression") for number in range(1, 45)],
    ],
    ids=["matches", "bytes", "expressions"],
)
def test_a_huge_set_is_cut_at_the_youngest(matches: list[Json]) -> None:
    """Older routes hold; the status of those beyond says so."""
    made = [route(to("web", matches=matches), name=f"r{at}", created=f"2026-{at}") for at in range(10, 30)]
    cluster = Cluster(made)

    accepted = [cluster.conditions(at)["Accepted"] for at in range(20)]
    held = accepted.count((True, "Accepted"))
    assert accepted == [(True, "Accepted")] * held + [(False, "TooManyMatches")] * (20 - held)
    assert 0 < held < 20
    assert sum(len(one.matches) for one in cluster.told()) == held * len(matches) <= MAX_MATCHES


def test_a_route_for_which_there_is_no_room_holds_nothing() -> None:
    """Alone it is too large: requests go to the Service, as without it, not to nowhere."""
    header = [{"name": "x", "value": "y" * 100_000}]
    cluster = Cluster([route(to("web", matches=many(20, headers=header)))])

    assert cluster.conditions()["Accepted"] == (False, "TooManyMatches")
    assert cluster.rules() is None


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
    st.builds(lambda matches: to("web", matches=matches), st.lists(MATCHES, min_size=1, max_size=3)),
    min_size=1,
    max_size=3,
)
ROUTES = st.builds(
    lambda rules, name, created, namespace: route(
        *rules, name=name, created=created, namespace=namespace, parent={"namespace": "shop"}
    ),
    RULES,
    st.sampled_from("abc"),
    st.sampled_from(["2026", "2027"]),
    st.sampled_from(["shop", "other"]),
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
        for match in (ranked.match for ranked in rule.matches)
        if takes(match, request)
    ]
    return min(found)[2] if found else None


@given(st.lists(ROUTES, min_size=1, max_size=5, unique_by=lambda made: made.key), REQUESTS, st.randoms())
def test_the_first_entry_is_the_one_of_highest_precedence(
    made: list[Route], request: Request, order: random.Random
) -> None:
    """Exact, then the longest prefix, method, number of headers; then the oldest route, its name, the rule's place.

    In whatever order the routes came; and each namespace's clients by their own routes, if it has any.
    """
    shuffled = list(made)
    order.shuffle(shuffled)
    cluster = Cluster(shuffled)

    for client in ("shop", "other", "third"):
        held = [one for one in made if one.namespace == "other"] if client == "other" else []
        held = held or [one for one in made if one.namespace == "shop"]
        told = cluster.told(client)
        first = next((one.name for one in told if any(takes(match, request) for match in one.matches)), None)
        assert first == wanted(held, request)


STEPS = st.one_of(
    st.tuples(st.just("route"), ROUTES),
    st.tuples(st.just("no route"), st.tuples(st.sampled_from(["shop", "other"]), st.sampled_from("abc"))),
    st.tuples(st.just("service"), st.sampled_from([{80: "http"}, {80: "http", 81: "admin"}, {}])),
    st.tuples(st.just("grant"), st.booleans()),
)


@given(st.lists(STEPS, max_size=12))
def test_changes_one_by_one_end_where_a_fresh_start_does(steps: list[tuple[str, Any]]) -> None:
    """Whatever changed before; and every change of a Service's rules is told."""
    cluster, crossing = Cluster(), Grants(("other", "g"), frozenset({Grant("HTTPRoute", "shop")}))
    for kind, what in steps:
        before = rules(cluster)
        cluster.touched.clear()
        if kind == "route":
            cluster.apply(what)
        elif kind == "no route":
            cluster.gateway.http_routes.delete(what)
        elif kind == "service":
            cluster.put(service("shop", "web", what))
        elif what:
            cluster.gateway.grants.apply(crossing)
        else:
            cluster.gateway.grants.delete(crossing.key)
        assert before == rules(cluster) or ("shop", "web") in cluster.touched
    fresh = Cluster()
    for one in cluster.services.values():
        fresh.put(one)
    for made in cluster.gateway.http_routes.rows.values():
        fresh.apply(made)
    for grants in cluster.gateway.grants.rows.values():
        fresh.gateway.grants.apply(grants)

    assert state(cluster) == state(fresh)


def rules(cluster: Cluster) -> list[list[str] | None]:
    """The rules of each port for clients of each namespace."""
    return [cluster.rules(port, client) for port in (80, 81) for client in ("shop", "other")]


def state(cluster: Cluster) -> Any:
    """What clients are told, and what statuses say."""
    rows = sorted(cluster.gateway.http_routes.rows.items())
    return rules(cluster), [cluster.gateway.conditions(made) for _, made in rows]


NAMES = """name matches path type value method headers queryParams filters backendRefs port weight timeouts request
retry codes attempts requestRedirect statusCode urlRewrite service requestHeaderModifier set remove parentRefs rules
kind group namespace"""
FIELDS = st.sampled_from(NAMES.split())
WORDS = st.sampled_from(["", "Service", "RegularExpression", "Exact", "RequestRedirect", "URLRewrite", "1s", "(", "/a"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=20,
)


@given(st.dictionaries(FIELDS, JSON), JSON, st.sampled_from(list(READ)))
def test_no_content_breaks_the_reader(spec: Json, rule: Any, kind: str) -> None:
    """Whatever stands in a route, it is read, compiled and encoded: the service serves on."""
    for content in (spec, {"parentRefs": [WEB], "rules": [rule, to("web")]}):
        obj = msgspec.convert({"metadata": {"name": "r", "namespace": "shop"}, "spec": content}, GatewayRoute)
        cluster = Cluster([READ[kind](obj)])
        cluster.messages()
        for one in cluster.told():
            assert pb_route(one).name.startswith("r/")
