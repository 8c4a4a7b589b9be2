"""Aligned columns and the formats of their cells."""

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

GAP = "   "
NONE = "-"
NARROWEST = 12
"""Cells are not cut below this: half a table is worse than one that wraps."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Columns under upper-case headings: the first `left` to the left, numbers to the right.

    On a terminal that is too narrow, the widest of the left columns are cut; in a pipe nothing is.
    """
    lines = [header, *rows]
    widths = [max(width(line[column]) for line in lines) for column in range(len(header))]
    if sys.stdout.isatty():
        widths = fitted(widths, left, shutil.get_terminal_size().columns)
    return "\n".join(_line(line, widths, left) for line in lines)


def width(text: str) -> int:
    """Columns that a text takes on a terminal: East Asian wide characters and most emoji take two, marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def fitted(widths: Sequence[int], left: int, available: int) -> list[int]:
    """The widths, with the widest of the first `left` columns narrowed until all fit, if that is possible."""
    narrowed = list(widths)
    while sum(narrowed) + len(GAP) * (len(narrowed) - 1) > available:
        widest = max(range(left), key=narrowed.__getitem__, default=0)
        if not left or narrowed[widest] <= NARROWEST:
            break
        narrowed[widest] -= 1
    return narrowed


def cut(text: str, available: int) -> str:
    """The text, ending in … where it would take more columns than there are."""
    if width(text) <= available:
        return text
    while text and width(text) > available - 1:
        text = text[:-1]
    return f"{text}…"


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = []
    for column, (cell, available) in enumerate(zip(cells, widths, strict=True)):
        shown = cut(cell, available)
        gap = " " * (available - width(shown))
        padded.append(shown + gap if column < left else gap + shown)
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
    return NONE if rps is None else f"{_tenths(rps)}rps"


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
    return NONE if number is None else f"{_tenths(number)}B/s"


def _tenths(number: float) -> str:
    """What is not nothing does not look like it."""
    return "<0.1" if 0 < number < 0.05 else f"{number:.1f}"
