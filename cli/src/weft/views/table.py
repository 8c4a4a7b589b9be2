"""Aligned columns and the formats of their cells."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

GAP = "   "
NONE = "-"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Columns under upper-case headings: the first `left` to the left, numbers to the right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(_line(line, widths, left) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = (
        cell.ljust(width) if column < left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return GAP.join(padded).rstrip()


def document(value: Any) -> str:
    """One JSON document."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def percent(ratio: float | None) -> str:
    """0.8701 as 87.01%. Never rounds up to 100%: one failure among a million stays visible."""
    if ratio is None:
        return NONE
    shown = f"{100 * ratio:.2f}%"
    return "99.99%" if shown == "100.00%" and ratio < 1 else shown


def rate(rps: float | None) -> str:
    """Requests per second."""
    return NONE if rps is None else f"{rps:.1f}rps"


def milliseconds(seconds: float | None) -> str:
    """A latency."""
    if seconds is None:
        return NONE
    return "<1ms" if 0 < seconds < 0.001 else f"{1000 * seconds:.0f}ms"


def count(number: float | None) -> str:
    """A whole number."""
    return NONE if number is None else f"{number:.0f}"


def bytes_rate(number: float | None) -> str:
    """Bytes per second."""
    return NONE if number is None else f"{number:.1f}B/s"
