"""Which figures make `make scale` fail."""

import runpy
from pathlib import Path

MERGE = runpy.run_path(str(Path(__file__).parents[1] / "merge.py"))
Goal, judged = MERGE["Goal"], MERGE["judged"]


def test_a_goal_is_reached_or_missed() -> None:
    """At most or at least so much; the bound itself is reached."""
    at_most, at_least = Goal("cell", "p99_ms", 25), Goal("cell", "per_s", 750, least=True)
    assert [at_most.told(value)[0] for value in (24, 25, 25.1)] == [True, True, False]
    assert [at_least.told(value)[0] for value in (749, 750, 751)] == [False, True, True]


def test_each_figure_of_a_cell_is_judged() -> None:
    """One stale stream is enough, and so is a figure that nobody measured."""
    assert list(judged("replicas", {"stale_streams": 1})) == [
        (False, "MISSED resent: not measured"),
        (False, "MISSED stale_streams 1: at most 0"),
    ]
