"""ServiceProfiles: sound parts count, faults are named by their fields."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_destination.durations import duration_ms
from weft_destination.model import EndpointsTarget, Profile, Protocol
from weft_destination.precedence import destination
from weft_destination.profile import read_profile
from weft_destination.route import Match, Path, ResponseClass, RetryBudget, Route, Settings

KEY = ("ns", "web")
CLASS = "responseClasses[0]."


def test_a_whole_profile() -> None:
    """Every field that a profile can have."""
    spec = {
        "routes": [
            {
                "name": "GET /tea/{id}",
                "condition": {"method": "get", "pathRegex": "/tea/[^/]+"},
                "isRetryable": True,
                "timeout": "1s500ms",
            },
            {
                "name": "template",
                "condition": {"path": "/cups/{id}"},
                "responseClasses": [
                    {"condition": {"status": {"min": 404}}, "isFailure": False},
                    {"condition": {"status": {"min": 400, "max": 499}}, "isFailure": True},
                ],
            },
            {"name": "rest"},
        ],
        "retryBudget": {"retryRatio": 0.25, "minRetriesPerSecond": 5, "ttl": "20s"},
    }
    routes = (
        Route("GET /tea/{id}", (Match(Path.REGEX, "/tea/[^/]+", "GET"),), 1500, retryable=True),
        Route(
            "template",
            (Match(Path.REGEX, "/cups/[^/]+"),),
            response_classes=(ResponseClass(404, 404, False), ResponseClass(400, 499, True)),
        ),
        Route("rest"),
    )
    assert read_profile(KEY, spec) == Profile(KEY, routes, RetryBudget(250, 5, 20_000))


def test_a_faulty_route_leaves_the_others() -> None:
    """The fault says where it is; the route is left out whole, as half of it could match too much."""
    spec = {"routes": [{"name": "bad", "condition": {"pathRegex": "("}}, {"name": "good"}]}
    profile = read_profile(KEY, spec)
    (fault,) = profile.faults
    assert (profile.routes, fault.split(" ")[0]) == ((Route("good"),), "spec.routes[0].condition.pathRegex")


@pytest.mark.parametrize(
    ("said", "annotated", "expected"),
    [
        ({}, None, RetryBudget()),
        ({}, RetryBudget(100, 1), RetryBudget(100, 1)),
        ({"retryBudget": {"retryRatio": 0.3}}, RetryBudget(100, 1), RetryBudget(300)),
        ({"retryBudget": {"retryRatio": 7}}, None, RetryBudget(0, 0)),
        ({"retryBudget": {"ttl": "999ms"}}, RetryBudget(100, 1), RetryBudget(0, 0)),
        ({"retryBudget": 7}, None, RetryBudget(0, 0)),
    ],
)
def test_retries_have_a_budget(said: dict[str, Any], annotated: RetryBudget | None, expected: RetryBudget) -> None:
    """The profile's, else that of the Service's annotations, else the usual one; a faulty one allows no retries rather
    than too many."""
    profile = read_profile(KEY, {"routes": [{"name": "r", "isRetryable": True}]} | said)
    told = destination(EndpointsTarget("ns", "web", 80), Protocol.DETECT, None, profile, Settings(budget=annotated))
    assert told.retry_budget == expected


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ({}, "name"),
        ({"name": 7}, "name"),
        ({"name": "r", "timeout": 300}, "timeout"),
        ({"name": "r", "timeout": "0s"}, "timeout"),
        ({"name": "r", "isRetryable": "yes"}, "isRetryable"),
        ({"name": "r", "condition": []}, "condition"),
        ({"name": "r", "condition": {"method": "GET /"}}, "condition.method"),
        ({"name": "r", "condition": {"pathRegex": "/" * 1025}}, "condition.pathRegex"),
        ({"name": "r", "condition": {"pathRegex": "/(?!a).*"}}, "condition.pathRegex"),
        ({"name": "r", "responseClasses": [{"condition": {"status": {"min": 99}}}]}, CLASS + "condition.status.min"),
        ({"name": "r", "responseClasses": [{"isFailure": True}]}, CLASS + "condition.status.min"),
    ],
)
def test_faults(route: dict[str, Any], field: str) -> None:
    """Each fault names its field."""
    profile = read_profile(KEY, {"routes": [route]})
    assert (profile.routes, [fault.split(" ")[0] for fault in profile.faults]) == ((), [f"spec.routes[0].{field}"])


@pytest.mark.parametrize(("text", "expected"), [("300ms", 300), ("10s", 10_000), ("1m30s", 90_000), ("1.5s", 1500)])
def test_durations(text: str, expected: int) -> None:
    """As Go and Kubernetes write them."""
    assert duration_ms(text) == expected


fields = st.sampled_from(["routes", "name", "condition", "pathRegex", "timeout", "retryBudget", "ttl"])
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner),
    max_leaves=12,
)


@given(json)
def test_no_content_breaks_the_reader(spec: Any) -> None:
    """Whatever stands in a profile, it is read: the service serves on."""
    assert read_profile(KEY, spec).key == KEY
