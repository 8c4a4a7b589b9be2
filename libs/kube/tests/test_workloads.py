"""Names of workloads as labels hold them."""

from hypothesis import given
from hypothesis import strategies as st
from weft_kube.workloads import label_value

LONG = "n" * 70


def test_a_long_name_fits_a_label() -> None:
    """Labels hold 63 characters; two long names stay two."""
    labels = {label_value(LONG + end) for end in "ab"}

    assert {len(label) for label in labels} == {63}
    assert len(labels) == 2


@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,200}[a-z0-9])?", fullmatch=True))
def test_what_fits_stays(name: str) -> None:
    """Names up to 63 characters are their own labels, and every label is one."""
    assert label_value(label_value(name)) == label_value(name)
    assert (label_value(name) == name) is (len(name) <= 63)
