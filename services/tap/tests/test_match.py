"""Query parameters of a tap."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_api.tap.v1.tap_pb2 import DIRECTION_INBOUND, Match
from weft_kube.workloads import label_value
from weft_tap.faults import Fault
from weft_tap.match import MAX_RPS, Filter, parse

LONG = "n" * 70


def test_nothing_asked_matches_everything() -> None:
    """No condition, no limit, the usual pace."""
    assert parse({}, "shop") == Filter(Match(), limit=0, max_rps=MAX_RPS, replay=0)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"method": "get"}, Match(method="GET")),
        ({"path": "/api"}, Match(path_prefix="/api")),
        ({"status": "500"}, Match(min_status=500, max_status=500)),
        ({"status": "5xx"}, Match(min_status=500, max_status=599)),
        ({"status": "400-499"}, Match(min_status=400, max_status=499)),
        ({"min_latency": "1.5s"}, Match(min_latency_us=1_500_000)),
        ({"min_latency": "200ms"}, Match(min_latency_us=200_000)),
        ({"header": "X-A=b=c"}, Match(header_name="x-a", header_value="b=c")),
        ({"header": "x-a"}, Match(header_name="x-a")),
        ({"direction": "inbound"}, Match(direction=DIRECTION_INBOUND)),
        ({"to": "deploy/db"}, Match(dst_namespace="shop", dst_workload_kind="deployment", dst_workload="db")),
        ({"to": f"po/{LONG}"}, Match(dst_namespace="shop", dst_workload_kind="pod", dst_workload=label_value(LONG))),
        ({"to": "svc/db", "to_namespace": "data"}, Match(dst_namespace="data", dst_service="db")),
        ({"to": "ns/data"}, Match(dst_namespace="data")),
        ({"to_namespace": "data"}, Match(dst_namespace="data")),
    ],
)
def test_each_parameter_is_a_condition(query: dict[str, str], expected: Match) -> None:
    """As docs of the tap API say."""
    assert parse(query, "shop").match == expected


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ({"stauts": "500"}, "'stauts': is not known"),
        ({"status": "6xx"}, "'status': '6xx' is none of"),
        ({"status": "500-400"}, "'status': '500-400' is an empty range"),
        ({"min_latency": "soon"}, "'min_latency'"),
        ({"header": "=x"}, "'header'"),
        ({"identity": "web"}, "'identity': 'web' is not a SPIFFE ID"),
        ({"direction": "up"}, "'direction'"),
        ({"to": "db"}, "'to': 'db' is not KIND/NAME"),
        ({"to": "potato/db"}, "'to': unknown kind 'potato'"),
        ({"limit": "-1"}, "'limit'"),
    ],
)
def test_a_fault_names_its_parameter(query: dict[str, str], part: str) -> None:
    """400, the parameter and the value."""
    with pytest.raises(Fault) as caught:
        parse(query, "shop")
    assert caught.value.code == 400
    assert part in caught.value.message


NAMES = (
    "method",
    "path",
    "status",
    "min_latency",
    "header",
    "identity",
    "direction",
    "to",
    "limit",
    "max_rps",
    "replay",
)


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30)))
def test_any_text_is_a_filter_or_a_fault(query: dict[str, str]) -> None:
    """No input makes anything else."""
    with contextlib.suppress(Fault):
        parse(query, "shop")
