"""Quantiles from buckets, as PromQL's histogram_quantile gives them."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_web.histogram import quantiles


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        (0.5, {0.1: 50, 0.2: 100, inf: 100}, 0.1),
        (0.75, {0.1: 50, 0.2: 100, inf: 100}, 0.15),
        (0.25, {0.1: 100, inf: 100}, 0.025),
        (0.99, {0.1: 50, 0.2: 60, inf: 100}, 0.2),
        (0.5, {0.1: 0, inf: 0}, None),
        (0.5, {inf: 10}, None),
        (0.5, {0.1: 10, 0.2: 20}, None),
        (0.5, {0.1: 100, 0.2: 99, inf: 100}, 0.05),
    ],
)
def test_a_quantile_is_prometheus_own(share: float, buckets: dict[float, float], expected: float | None) -> None:
    """Even inside a bucket, from 0 in the lowest, the last finite bound beyond it, nothing without observations."""
    found = quantiles([share], buckets)
    assert (found and [value for value, _ in found]) == (None if expected is None else [pytest.approx(expected)])


def test_beyond_the_last_bound_a_quantile_is_at_least_that() -> None:
    """What took a minute is not told to have taken 10 s."""
    assert quantiles([0.5, 0.6, 0.99], {5: 50, 10: 60, inf: 100}) == [(5, False), (10, False), (10, True)]


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=20))
def test_quantiles_lie_within_the_bounds_and_in_order(counts: list[float]) -> None:
    """Whatever the counts are, also such as shrink."""
    buckets = dict(zip([*map(float, range(1, len(counts))), inf], counts, strict=True))
    found = [value for value, _ in quantiles((0.5, 0.95, 0.99), buckets) or []]
    assert found == sorted(found)
    assert all(0 <= value <= len(counts) - 1 for value in found)
