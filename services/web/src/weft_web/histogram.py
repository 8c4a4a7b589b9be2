"""Quantiles from a histogram's buckets, by Prometheus' rule, so that one query serves all quantiles. Pure."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate


def quantiles(shares: Sequence[float], buckets: Mapping[float, float]) -> list[tuple[float, bool]] | None:
    """For each share the value below which it of the observations lies, and whether that is only a lower bound of it.

    `buckets` are cumulative counts by upper bound, +Inf among them. Inside a bucket observations are taken as evenly
    spread, the lowest begins at 0, and of what is beyond the last finite bound no more is known than that bound: as
    PromQL's histogram_quantile does. Counts that shrink from one bound to the next (scrapes are not one instant) are
    levelled. None without observations.
    """
    bounds = sorted(buckets)
    counts = list(accumulate(map(buckets.__getitem__, bounds), max, initial=0.0))[1:]
    if len(bounds) < 2 or not math.isinf(bounds[-1]) or counts[-1] <= 0:
        return None
    return [_value(share * counts[-1], bounds, counts) for share in shares]


def _value(rank: float, bounds: Sequence[float], counts: Sequence[float]) -> tuple[float, bool]:
    """Where the observation of this rank lies."""
    place = bisect_left(counts, rank)
    if place == len(bounds) - 1:
        return bounds[-2], True
    below, start = (counts[place - 1], bounds[place - 1]) if place else (0.0, 0.0)
    inside = counts[place] - below
    return start + (bounds[place] - start) * ((rank - below) / inside if inside else 1.0), False
