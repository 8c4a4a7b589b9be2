"""Durations as users write them: "5m", "90s", "1m30s", "200ms"."""

import re

import click

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def parse(text: str) -> float:
    """Seconds; ValueError when the text is no duration."""
    if not text or PART.sub("", text):
        raise ValueError(f"{text!r} is not a duration such as 90s, 5m or 200ms")
    return sum(float(number) * UNITS[unit] for number, unit in PART.findall(text))


def option(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Callback of an option whose value is a duration."""
    try:
        return None if value is None else parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error
