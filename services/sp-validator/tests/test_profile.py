"""A ServiceProfile is refused with every fault at once, each with its field."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_sp_validator.overlap import Taken, requests_of
from weft_sp_validator.profile import faults_of, warnings_of


def profile(spec: Any, name: Any = "counter") -> dict[str, Any]:
    """A profile as the API server sends it."""
    meta = {"name": name, "namespace": "teahouse"}
    return {"apiVersion": "weft.dev/v1alpha1", "kind": "ServiceProfile", "metadata": meta, "spec": spec}


def route(**fields: Any) -> dict[str, Any]:
    """A sound route, but for the fields named."""
    return {"name": "brew", "condition": {"method": "POST", "pathRegex": "/brew"}} | fields


def faults(spec: Any, name: Any = "counter") -> list[str]:
    """All faults as lines."""
    return [str(fault) for fault in faults_of(profile(spec, name))]


def test_a_sound_profile_has_no_fault() -> None:
    """Every field in use; an empty spec is sound too."""
    budget = {"retryRatio": 0.2, "minRetriesPerSecond": 10, "ttl": "10s"}
    classes = [{"condition": {"status": {"min": 404}}, "isFailure": False}]
    routes = [
        route(isRetryable=True, timeout="300ms", responseClasses=classes),
        route(name="all", condition={"pathRegex": ".*"}),
    ]
    assert faults({"routes": routes, "retryBudget": budget}) == []
    assert faults({}) == []


ROUTES = [
    (
        {"timeout": "300"},
        'timeout: must be a duration like "300ms" or "10s", not "300"; did you mean "300ms" or "300s"?',
    ),
    ({"timeout": "1.5s"}, 'timeout: must be a duration like "300ms" or "10s", not "1.5s"; did you mean "1500ms"?'),
    ({"timeout": 5}, 'timeout: must be a duration like "300ms" or "10s", not 5; did you mean "5ms" or "5s"?'),
    ({"timeout": "0s"}, "timeout: must be between 1ms and 24h, not 0s"),
    ({"responseClasses": [{"isFailure": True}]}, "responseClasses[0].condition: is missing"),
    (
        {"responseClasses": [{"condition": {"status": {"min": 600}}, "isFailure": True}]},
        "responseClasses[0].condition.status.min: must be between 100 and 599, not 600",
    ),
    (
        {"responseClasses": [{"condition": {"status": {"min": 500, "max": 400}}, "isFailure": True}]},
        "responseClasses[0].condition.status: has no status: min 500 is above max 400",
    ),
    ({"isRetryable": "true"}, "isRetryable: must be true or false, not a text; did you mean true without quotes?"),
    ({"isRetriable": True}, "isRetriable: unknown field; did you mean isRetryable?"),
    ({"name": ""}, "name: must not be empty"),
    ({"name": "x" * 129}, "name: has 129 characters; at most 128 are allowed"),
    ({"name": "[probe]"}, "name: [probe] is a route of weft's own; choose another name"),
    ({"name": "a\nb"}, "name: holds a character that cannot be printed"),
    ({"condition": None}, "condition: is missing"),
    ({"condition": {}}, 'condition: needs method, path or pathRegex; for every request say pathRegex: ".*"'),
    ({"condition": []}, "condition: must be an object, not a list"),
    (
        {"condition": {"method": "get"}},
        'condition.method: "get" is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, CONNECT, TRACE'
        "; did you mean GET?",
    ),
    ({"condition": {"pathRegex": "/a(b"}}, "condition.pathRegex: unterminated group at 2; did you mean /a(b)?"),
    ({"condition": {"pathRegex": "/" * 1025}}, "condition.pathRegex: has 1025 characters; at most 1024 are allowed"),
    ({"condition": {"paths": "/", "method": "GET"}}, "condition.paths: unknown field; did you mean path?"),
    ({"condition": {"path": "tea"}}, 'condition.path: must begin with "/", like "/tea"'),
    (
        {"condition": {"path": "/tea?cup=1"}},
        'condition.path: never matches: paths are compared without query; did you mean "/tea"?',
    ),
    (
        {"condition": {"path": "/tea-{id}"}},
        'condition.path: "tea-{id}" must be a whole segment like "{id}", of letters, digits and _',
    ),
    ({"condition": {"path": "/a", "pathRegex": "/a"}}, "condition: has both path and pathRegex; keep one"),
]


@pytest.mark.parametrize(("fields", "fault"), ROUTES)
def test_a_fault_of_a_route_is_named(fields: dict[str, Any], fault: str) -> None:
    """The path of the field, the reason, and what may have been meant."""
    assert faults({"routes": [route(**fields)]}) == [f"spec.routes[0].{fault}"]


BUDGETS = [
    ({"retryRatio": 20}, "retryRatio: must be between 0 and 1, not 20; did you mean 0.2?"),
    ({"retryRatio": True}, "retryRatio: must be a number, not true or false"),
    ({"retryRatio": -0.1}, "retryRatio: must be between 0 and 1, not -0.1"),
    ({"minRetriesPerSecond": 1.5}, "minRetriesPerSecond: must be a whole number, not 1.5"),
    ({"minRetriesPerSecond": -1}, "minRetriesPerSecond: must be between 0 and 1000000, not -1"),
    ({"ttl": "10m"}, "ttl: must be between 1s and 60s, not 10m"),
    ({"ttl": None}, "ttl: is missing"),
]


@pytest.mark.parametrize(("fields", "fault"), BUDGETS)
def test_a_fault_of_the_budget_is_named(fields: dict[str, Any], fault: str) -> None:
    """Bounds and types."""
    budget = {"retryRatio": 0.2, "minRetriesPerSecond": 10, "ttl": "10s"} | fields
    assert faults({"retryBudget": budget}) == [f"spec.retryBudget.{fault}"]


def test_all_faults_come_at_once() -> None:
    """In the order of the object."""
    routes = [route(), route(condition={"method": "GET", "pathRegex": "("}, timeout="soon")]
    assert faults({"routes": routes, "retries": 3}, "counter.teahouse.svc.cluster.local") == [
        "metadata.name: must be the name of a Service of this namespace, "
        'not "counter.teahouse.svc.cluster.local"; did you mean "counter"?',
        "spec.retries: unknown field; did you mean routes?",
        "spec.routes[1].condition.pathRegex: unterminated group at 0; did you mean ()?",
        'spec.routes[1].timeout: must be a duration like "300ms" or "10s", not "soon"',
        'spec.routes[1].name: "brew" is already the name of routes[0]',
    ]


@pytest.mark.parametrize(("spec", "kind"), [("x", "a text"), ([], "a list"), (5, "a number"), (False, "true or false")])
def test_a_spec_of_another_shape_is_refused(spec: Any, kind: str) -> None:
    """Anything but an object."""
    assert faults(spec) == [f"spec: must be an object, not {kind}"]


def test_too_many_routes_are_refused() -> None:
    """The limit is the chart's."""
    routes = [route(name=str(number)) for number in range(501)]
    assert faults({"routes": routes}) == ["spec.routes: has 501 items; at most 500 are allowed"]


SEGMENTS = st.sampled_from(["a", "b", "[^/]+", "[^/]*", ""])
ODD = st.sampled_from(["(a|b)", "a.*", "a?", "[ab]", "(?:a/)?b", ".+", "b|/a", "(/a)?"])
"""What is not cut into segments."""
PATHS = st.builds(
    lambda segments, rest: "/" + "/".join(segments) + rest, st.lists(SEGMENTS, max_size=3), st.sampled_from(["", "/.*"])
)


ANY = PATHS | st.builds(str.__add__, st.sampled_from(["", "/", "/a/", "/[^/]+/"]), ODD) | st.just(".*")
PATH = st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=4).map(lambda path: "/" + "/".join(path)) | st.just("*")


@given(ANY, ANY, PATH)
def test_who_covers_matches_what_the_covered_one_does(one: str, other: str, path: str) -> None:
    """Whatever the expressions, and the path."""
    covers = requests_of({"pathRegex": one}).covers(requests_of({"pathRegex": other}))
    matches = [re.fullmatch(pattern, path) is not None for pattern in (one, other)]
    assert not (covers and matches == [False, True])


@given(PATHS, PATHS, PATH)
def test_who_both_match_a_path_meet(one: str, other: str, path: str) -> None:
    """If both are cut into segments."""
    first, second = requests_of({"pathRegex": one}), requests_of({"pathRegex": other})
    matches = [re.fullmatch(pattern, path) is not None for pattern in (one, other)]
    taken = Taken()
    taken.add(7, first)
    assert list(taken.meeting(second)) == [(7, first)] or matches != [True, True]


@given(st.lists(ANY, max_size=6), ANY)
def test_of_many_routes_those_that_cover_are_found(paths: list[str], path: str) -> None:
    """As if each were asked."""
    found = requests_of({"pathRegex": path})
    others = [requests_of({"pathRegex": other}) for other in paths]
    taken = Taken()
    for place, other in enumerate(others):
        taken.add(place, other)
    assert sorted(taken.covering(found)) == [at for at, other in enumerate(others) if other.covers(found)]


def conditions(*found: str) -> list[dict[str, Any]]:
    """Routes by "GET /path", "GET ~regex" or "GET *"; `*` is any method, or any path."""
    routes = []
    for place, (method, _, path) in enumerate(one.partition(" ") for one in found):
        condition = {"pathRegex": path[1:]} if path.startswith("~") else {"path": path} if path != "*" else {}
        routes.append(route(name=str(place), condition=condition | ({} if method == "*" else {"method": method})))
    return routes


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("* /tea/{id}", "GET /tea/mine"),
        ("GET ~/tea/.*", "GET /tea/{id}"),
        ("* ~.*", "POST ~/other/[^/]+"),
        ("GET ~/tea/[^/]*", "GET ~/tea/[^/]+"),
        ("* ~/a[.]b", "GET /a.b"),
        ("* ~.*", "GET ~/teas/(mine|yours)"),
        ("GET ~^.+$", "GET ~/?teas"),
        ("* ~/.*", "GET ~/te(a|as)|/cups?"),
        ("* ~/teas?", "GET ~/teas?"),
        ("GET *", "GET ~/teas?"),
    ],
)
def test_a_route_that_an_earlier_one_covers_is_refused(earlier: str, later: str) -> None:
    """It would never get a request; the other way round both do."""
    assert faults({"routes": conditions(earlier, later)}) == [
        "spec.routes[1].condition: is never reached: routes[0] takes all its requests; put it before routes[0]"
    ]
    assert faults({"routes": conditions(later, earlier)}) == []


def test_the_same_condition_twice_is_refused() -> None:
    """One of them is too much, in whatever order."""
    for one in ("GET /a", "GET ~/a(b|c)"):
        assert faults({"routes": conditions(one, one)}) == [
            "spec.routes[1].condition: is never reached: routes[0] has the same one; keep one of them"
        ]


def test_what_is_hardly_meant_is_warned_of() -> None:
    """A glob, a path without its slash, a parameter as others write it, routes that share requests, a budget for
    nothing."""
    routes = conditions("GET ~/api/*", "GET ~api", "GET /{kind}/mine", "GET /tea/{id}", "PUT /tea/:id/*/<n>", "PUT /a*")
    budget = {"retryRatio": 0.2, "minRetriesPerSecond": 10, "ttl": "10s"}
    spec = {"routes": routes, "retryBudget": budget}
    assert faults(spec) == []
    assert [str(warning) for warning in warnings_of(profile(spec))] == [
        'spec.routes[0].condition.pathRegex: "/*" is any number of slashes; did you mean "/api/.*"?',
        'spec.routes[1].condition.pathRegex: never matches: paths begin with "/"; did you mean "/api"?',
        'spec.routes[4].condition.path: ":id" is that very text; did you mean "{id}"?',
        'spec.routes[4].condition.path: "*" is that very text; did you mean "{id}"?',
        'spec.routes[4].condition.path: "<n>" is that very text; did you mean "{n}"?',
        "spec.routes[3].condition: shares requests with routes[2], which gets them",
        "spec.retryBudget: has no effect: no route says isRetryable: true",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["spec", "routes", "name", "condition", "method", "path", "pathRegex", "timeout", "retryBudget",
                         "ttl", "retryRatio", "minRetriesPerSecond", "isRetryable", "metadata", "x"]),
        inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_no_object_crashes_the_rules(value: Any) -> None:
    """Any JSON gives a list of faults, and warnings when there is none."""
    if not faults_of(value):
        assert warnings_of(value) is not None
    assert faults_of(profile(value)) is not None


def test_a_class_that_earlier_ones_cover_is_warned_of() -> None:
    """The first class that has a status counts."""
    classes = [
        {"condition": {"status": {"min": 400, "max": 499}}, "isFailure": True},
        {"condition": {"status": {"min": 404}}, "isFailure": False},
    ]
    found = [str(one) for one in warnings_of(profile({"routes": [route(responseClasses=classes)]}))]
    assert found == ["spec.routes[0].responseClasses[1]: has no effect: earlier ones have its statuses"]
