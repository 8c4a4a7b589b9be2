"""Durations as users write them: "5m", "90s", "1m30s", "200ms"."""

import re
from typing import Any

import click

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def parse(text: str) -> float:
    """Seconds; ValueError when the text is no duration."""
    if not text or PART.sub("", text):
        raise ValueError(f"{text!r} is not a duration such as 90s, 5m or 200ms")
    return sum(float(number) * UNITS[unit] for number, unit in PART.findall(text))


class Duration(click.ParamType):
    """An option's value that is a duration; gives seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text to seconds."""
        if isinstance(value, float):
            return value
        try:
            return parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
