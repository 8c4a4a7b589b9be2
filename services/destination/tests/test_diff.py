"""A delta says the same as the set it stands for."""

from hypothesis import given
from hypothesis import strategies as st
from weft_destination.diff import apply, diff
from weft_destination.model import Endpoint, Endpoints

ips = st.sampled_from([bytes([10, 0, 0, number]) for number in range(9)])
endpoints = st.builds(Endpoint, ip=ips, port=st.just(80), identity=st.sampled_from("ab"))
sets = st.lists(endpoints, unique_by=lambda e: e.address).map(Endpoints.of)


@given(sets, sets)
def test_a_delta_leads_from_one_set_to_the_other(before: Endpoints, after: Endpoints) -> None:
    """apply(diff(a, b), a) == b."""
    assert apply(diff(before, after), before) == after


@given(sets)
def test_equal_sets_do_not_differ(same: Endpoints) -> None:
    """Nothing is told when nothing changed."""
    assert len(diff(same, same)) == 0
