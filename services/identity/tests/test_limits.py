"""One workload's flood leaves room for the others."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_identity.limits import BURST, CONCURRENT, NEWCOMERS, PER_SECOND, REMEMBERED, LimitedError, Limits


def test_a_caller_has_so_many_requests_under_way_and_others_have_theirs() -> None:
    """What ends makes room again."""
    limits = Limits()
    running = [limits.entered("till", known=False) for _ in range(CONCURRENT)]
    for each in running:
        each.__enter__()
    with pytest.raises(LimitedError, match="under way"), limits.entered("till", known=False):
        pass
    with limits.entered("shop", known=False):
        pass
    running[0].__exit__(None, None, None)
    with limits.entered("till", known=False):
        pass


def test_newcomers_are_so_many_and_who_is_known_comes_in_beside_them() -> None:
    """However many callers they pretend to be."""
    limits = Limits()
    with ExitStack() as inside:
        for number in range(NEWCOMERS):
            inside.enter_context(limits.entered(f"10.0.0.{number}", known=False))
        with pytest.raises(LimitedError, match="newcomers"), limits.entered("10.1.0.1", known=False):
            pass
        inside.enter_context(limits.entered("till", known=True))
    with limits.entered("10.1.0.1", known=False):
        pass


@given(st.lists(st.floats(0, 1), max_size=400))
def test_no_series_of_requests_gets_more_than_burst_and_rate(pauses: list[float]) -> None:
    """Whatever the pauses between them, in seconds."""
    limits, now, served = Limits(), 0.0, 0
    for pause in pauses:
        now += pause
        try:
            limits.spend("till", now)
            served += 1
        except LimitedError:
            continue
    assert served <= BURST + PER_SECOND * now


def test_a_burst_is_served_and_then_the_rate() -> None:
    """Of a thousand at once the burst; a second later as many as the rate."""

    def served(limits: Limits, count: int, now: float) -> int:
        total = 0
        for _ in range(count):
            try:
                limits.spend("till", now)
                total += 1
            except LimitedError:
                continue
        return total

    limits = Limits()
    assert [served(limits, 1000, 0.0), served(limits, 1000, 1.0)] == [BURST, int(PER_SECOND)]


def test_what_is_remembered_is_bounded() -> None:
    """Whoever was quiet for longest is forgotten."""
    limits = Limits()
    for number in range(REMEMBERED + 100):
        limits.spend(f"account-{number}", 0.0)
    assert len(limits._spent) == REMEMBERED
