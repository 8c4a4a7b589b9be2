"""What bench/results/chaos.json says of a scenario. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One repetition: did it hold, and what it proved, or why not."""

    held: bool
    seconds: float
    said: str


def figures(attempts: Sequence[Attempt], before: Json, after: Json, rate: int) -> Json:
    """Of all repetitions together; `before` and `after`: the caller's totals, `rate`: its requests a second."""
    failed = sum(after["failed"].values()) - sum(before["failed"].values())
    return {
        "held": all(attempt.held for attempt in attempts),
        "repeats": len(attempts),
        "duration_s": round(sum(attempt.seconds for attempt in attempts)),
        "rate": rate,
        "requests": after["ok"] - before["ok"] + failed,
        "failed": failed,
        "said": [attempt.said.strip().partition("\n")[0] for attempt in attempts],
    }


def stored(known: Mapping[str, Json], name: str, found: Json) -> Json:
    """The file with this scenario's newest figures; those of others stay. In a fixed order."""
    return dict(sorted({**known, name: found}.items()))


def line(name: str, attempt: Attempt) -> str:
    """What is printed of a repetition."""
    return f"{'√' if attempt.held else '×'} {name} {attempt.seconds:.0f} s: {attempt.said}"  # noqa: RUF001
