"""Quantiles from a histogram's buckets, by Prometheus' rule, so that one query serves all quantiles. Pure."""

import math
from collections.abc import Mapping


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """The value below which this share of the observations lies; None without any.

    `buckets` are cumulative counts by upper bound, +Inf among them. Inside a bucket observations are taken as evenly
    spread, the lowest begins at 0, and what is beyond the last finite bound counts as that bound: as PromQL's
    histogram_quantile does. Counts that shrink from one bound to the next (scrapes are not one instant) are levelled.
    """
    bounds = sorted(buckets)
    counts = _levelled([buckets[bound] for bound in bounds])
    if len(bounds) < 2 or not math.isinf(bounds[-1]) or counts[-1] <= 0:
        return None
    rank = share * counts[-1]
    place = next(index for index, count in enumerate(counts) if count >= rank)
    if place == len(bounds) - 1:
        return bounds[-2]
    below, start = (counts[place - 1], bounds[place - 1]) if place else (0.0, 0.0)
    inside = counts[place] - below
    return start + (bounds[place] - start) * ((rank - below) / inside if inside else 1.0)


def _levelled(counts: list[float]) -> list[float]:
    highest, levelled = 0.0, []
    for count in counts:
        highest = max(highest, count)
        levelled.append(highest)
    return levelled
