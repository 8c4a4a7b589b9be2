"""What every command has: a place in docs/cli.md, and golden files of what it prints."""

import runpy
from collections.abc import Iterator
from pathlib import Path

import click
from weft.main import cli

GENERATOR = Path(__file__).parents[1] / "gen.py"
GOLDEN = Path(__file__).parent / "golden"
OTHERS = {
    "completion": "click's own script",
    "install": "the chart, as helm renders it: charts/mesh/tests",
    "upgrade": "the same",
    "viz-install": "the same",
}
"""Commands that print what is not made here."""


def test_the_page_is_that_of_the_commands() -> None:
    """`make gen` writes it anew."""
    generator = runpy.run_path(str(GENERATOR))
    assert generator["PAGE"].read_text("utf-8") == generator["page"]()


def outputs(group: click.Group, path: str = "") -> Iterator[str]:
    """Each command and format, as golden files name them: `viz-stat-wide`."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from outputs(command, f"{path}{name}-")
        elif formats := [one.type for one in command.params if one.name == "output"]:
            yield from (f"{path}{name}-{choice}" for choice in getattr(formats[0], "choices", ()))
        else:
            yield f"{path}{name}"


def test_every_output_has_a_golden_file() -> None:
    """Of every command, in every format."""
    kept = {file.stem for file in GOLDEN.glob("*.txt")}
    assert sorted(set(outputs(cli)) - kept) == sorted(OTHERS)
