"""Query parameters: what is understood, and that each fault names its parameter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_web.faults import Fault
from weft_web.question import PARAMETERS, Peer, parse


def test_nothing_asked_means_all_deployments_over_a_minute() -> None:
    """Defaults: deployments of all namespaces, 60 s."""
    question = parse({})
    assert (question.kind.name, question.namespace, question.name, question.window) == ("deployment", "", "", 60)


def test_a_peer_is_in_the_same_namespace_unless_told() -> None:
    """`to` without `to_namespace` is in the namespace asked for."""
    assert Peer("a", "deployment", "db") == parse({"namespace": "a", "to": "deploy/db"}).to
    assert Peer("b", "service", "db") == parse({"namespace": "a", "to": "svc/db", "to_namespace": "b"}).to
    assert Peer("b", "", "") == parse({"namespace": "a", "to_namespace": "b"}).to


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ({"knd": "pod"}, "'knd': is not known"),
        ({"kind": "potato"}, "unknown kind 'potato'"),
        ({"namespace": 'a"} or up{'}, "is not a Kubernetes name"),
        ({"window": "1s"}, "is not a time from 15s to 6h"),
        ({"window": "yes"}, "is not a time"),
        ({"to": "web"}, "'web' is not KIND/NAME"),
        ({"to": "pod/x"}, "do not record which pod"),
        ({"to": "deploy/a", "from": "deploy/b"}, "goes without `to`"),
        ({"kind": "pod", "from": "deploy/b"}, "do not record to which pod"),
        ({"from": "svc/b"}, "a Service sends no requests"),
        ({"kind": "svc", "to": "deploy/b"}, "a Service sends no requests"),
        ({"kind": "pod", "of": "deploy/a"}, "and one namespace"),
        ({"namespace": "a", "of": "deploy/a"}, "goes with kind=pod"),
        ({"kind": "pod", "namespace": "a", "of": "po/x"}, "is not KIND/NAME of an owner"),
        ({"selector": "a=b=c"}, "'a=b=c' is not a label requirement"),
    ],
)
def test_a_fault_names_its_parameter(query: dict[str, str], part: str) -> None:
    """400, the parameter, and what is wrong with it."""
    with pytest.raises(Fault) as caught:
        parse(query)
    assert caught.value.status == 400
    assert part in caught.value.message


@given(st.dictionaries(st.sampled_from(sorted(PARAMETERS)), st.text(max_size=20)))
def test_any_text_is_a_question_or_a_fault(query: dict[str, str]) -> None:
    """No input makes anything but a question, with names that are safe in PromQL, or a Fault."""
    try:
        question = parse(query)
    except Fault:
        return
    assert not set('"\\{}') & set(question.namespace + question.name)
