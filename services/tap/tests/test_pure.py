"""Pods, callers, pace and refusals."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from weft_api.tap.v1 import tap_pb2
from weft_kube.objects import Pod
from weft_kube.workloads import parse_kind
from weft_tap.access import refusal
from weft_tap.callers import Caller, RequestHeader, caller, common_name, read_config
from weft_tap.faults import Fault
from weft_tap.lines import event_line
from weft_tap.pace import Pace
from weft_tap.pods import Found, find
from weft_tap.subject import Subject, Target
from weft_testkit.objects import pod

PROXY = {"weft.dev/proxy-version": "0.1.0", "pod-template-hash": "5d4"}
WEB = Subject("shop", parse_kind("deploy"), "web")
CONFIG = RequestHeader("pem", allowed_names=["front-proxy-client"])


def test_only_running_pods_of_the_subject_are_found() -> None:
    """Those with a proxy are targets, those without are counted, others and ended ones are neither."""
    owner = ("ReplicaSet", "web-5d4")
    made = [
        pod("shop", "web-1", "10.1.2.3", labels=PROXY, owner=owner, service_account="web"),
        pod("shop", "web-2", "10.1.2.4", labels={"pod-template-hash": "5d4"}, owner=owner),
        pod("shop", "web-3", "10.1.2.5", labels=PROXY, owner=owner, phase="Succeeded"),
        pod("shop", "db-1", "10.1.2.6", labels=PROXY),
        pod("other", "web-1", "10.1.2.7", labels=PROXY, owner=owner),
    ]
    found = find(WEB, [msgspec.convert(one, Pod) for one in made])
    assert found == Found(frozenset({Target("shop", "web-1", "10.1.2.3", "web")}), 1)


@pytest.mark.parametrize(
    ("address", "expected"),
    [("10.1.2.3", "10-1-2-3.shop.web.v2.pod.weft:4190"), ("fd00::1", "fd00--1.shop.web.v2.pod.weft:4190")],
)
def test_authority_names_address_and_identity(address: str, expected: str) -> None:
    """First label the address, second the namespace, the rest the service account."""
    assert Target("shop", "web-1", address, "web.v2").authority == expected


def test_the_caller_is_whom_the_api_server_names() -> None:
    """User, all groups, and extras with their keys decoded."""
    headers = CIMultiDict(
        [("X-Remote-User", "jane"), ("X-Remote-Group", "a"), ("X-Remote-Group", "b"), ("x-remote-extra-a%2fb", "c")]
    )
    assert caller(CONFIG, "front-proxy-client", headers, headers) == Caller("jane", ["a", "b"], {"a/b": ["c"]})


@pytest.mark.parametrize("name", [None, "somebody", ""])
def test_headers_without_the_right_certificate_are_not_believed(name: str | None) -> None:
    """401 without a certificate, or with one of another name."""
    headers = CIMultiDict({"X-Remote-User": "system:admin"})
    with pytest.raises(Fault) as caught:
        caller(CONFIG, name, headers, headers)
    assert caught.value.code == 401


def test_the_config_map_says_which_headers_and_names() -> None:
    """Lists are JSON; without a CA aggregation is not set up."""
    data = {"requestheader-client-ca-file": "pem", "requestheader-allowed-names": '["front-proxy-client"]'}
    assert read_config(data) == RequestHeader(
        "pem", ["front-proxy-client"], ["X-Remote-User"], ["X-Remote-Group"], ["X-Remote-Extra-"]
    )
    with pytest.raises(ValueError, match="aggregation is not configured"):
        read_config({})


def test_common_name_of_a_certificate() -> None:
    """As Python's ssl gives it; None means no certificate."""
    assert common_name({"subject": ((("organizationName", "x"),), (("commonName", "front"),))}) == "front"
    assert common_name(None) is None


@pytest.mark.parametrize(
    ("user", "grantee"), [("jane", "--user=jane"), ("system:serviceaccount:ci:bot", "--serviceaccount=ci:bot")]
)
def test_a_refusal_says_what_would_grant_it(user: str, grantee: str) -> None:
    """The command names namespace, role and whom."""
    text = refusal(Caller(user), WEB, "no RBAC policy matched")
    assert text.startswith(f"{user} may not watch deployments/tap of API group tap.weft.dev in namespace shop (no RBAC")
    assert text.endswith(f"kubectl create rolebinding weft-tap -n shop --clusterrole=weft-tap-viewer {grantee}")


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 5)), max_size=50), st.integers(1, 10))
def test_pace_loses_no_count(steps: list[tuple[float, int]], per_second: int) -> None:
    """Events that went, plus those told as left out, plus those still held back, are all there were."""
    now = 0.0
    pace = Pace(per_second, lambda: now)
    went, told, came = 0, 0, 0
    for pause, left_out in steps:
        now += pause
        came += 1 + left_out
        before = pace.allow(left_out)
        if before is not None:
            went, told = went + 1, told + before
    now += 10
    last = pace.allow()
    assert last is not None
    assert went + told + last == came
    assert went <= per_second * (now - 10) + per_second


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("", "success"),
        ("E111 the server closed the connection", "success"),
        ("E114 denied by shop/menu#2", "denied"),
        ("E115 more requests than shop/menu allows", "denied"),
        ("E117 denied by shop/out", "denied"),
    ],
)
def test_what_a_policy_refuses_is_neither_success_nor_failure(error: str, expected: str) -> None:
    """As in the proxy's metrics, by the code of the error that it answers with."""
    event = tap_pb2.Event(status=403, result="RESULT_SUCCESS", error=error)
    target = Target("shop", "web-1", "web", "10.1.2.3")
    assert msgspec.json.decode(event_line(event, target, 0))["result"] == expected
