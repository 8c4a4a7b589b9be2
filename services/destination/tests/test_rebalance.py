"""Old streams are ended, a few at a time."""

from weft_destination import encode
from weft_destination.hub import Hub
from weft_destination.index import Index
from weft_destination.metrics import Metrics
from weft_destination.server import MAX_AGE_SECONDS, REBALANCE_SECONDS, aged
from weft_destination.shares import Share
from weft_destination.stream import Stream


def streams(*ages: float) -> list[Stream]:
    """Streams of these ages at time 0."""
    hub, metrics = Hub(Index()), Metrics({})
    made = [Stream(encode.Hello("ns", "p", ""), hub, metrics, Share()) for _ in ages]
    for stream, age in zip(made, ages, strict=True):
        stream.began = -age
    return made


def test_young_streams_stay() -> None:
    """Nobody is ended before its time."""
    assert aged(streams(0, 60, MAX_AGE_SECONDS), 0) == []


def test_the_oldest_goes_first() -> None:
    """Of few streams one at a time."""
    older, oldest = streams(MAX_AGE_SECONDS + 1, MAX_AGE_SECONDS + 2)
    assert aged([older, oldest], 0) == [oldest]


def test_all_that_came_together_do_not_leave_together() -> None:
    """5,000 streams of the same age leave within another MAX_AGE_SECONDS, at an even pace."""
    share = len(aged(streams(*[MAX_AGE_SECONDS + 1] * 5000), 0))
    rounds = MAX_AGE_SECONDS / REBALANCE_SECONDS
    assert 5000 / rounds <= share < 5000 / rounds + 1
