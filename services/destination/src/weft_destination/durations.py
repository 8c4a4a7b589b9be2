"""Durations as Go and Kubernetes write them. Pure."""

import re
from typing import Any

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


def duration_ms(value: Any) -> int:
    """ "300ms", "1m30s" as milliseconds, at least 1."""
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise ValueError(f'{value!r} is no duration like "300ms" or "10s"')
    parts = re.findall(r"([\d.]+)(ms|s|m|h)", value)
    total = round(sum(float(number) * _UNITS[unit] for number, unit in parts))
    if not 1 <= total < 2**32:
        raise ValueError(f"{value!r} is not between 1ms and 1193h")
    return total


def window_ms(value: Any) -> int:
    """Over which a proxy counts retries: it does so in tenths, the shortest of which are those of a second."""
    if (milliseconds := duration_ms(value)) < 1000:
        raise ValueError(f"{value!r} is shorter than 1s")
    return milliseconds
