"""The trust anchor is replaced while everything else is tested: it takes minutes, most of them waiting."""

import traffic
from scenarios import SCENARIOS, Length


def test_a_new_anchor_comes_and_nothing_is_lost(installed: None) -> None:
    """Of its own traffic; the other tests, which run meanwhile, notice nothing."""
    with traffic.running(25):
        assert SCENARIOS["anchor-rotation"](Length())
