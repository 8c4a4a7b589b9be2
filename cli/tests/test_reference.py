"""docs/cli.md."""

import runpy
from pathlib import Path

GENERATOR = Path(__file__).parents[1] / "gen.py"


def test_the_page_is_that_of_the_commands() -> None:
    """`make gen` writes it anew."""
    generator = runpy.run_path(str(GENERATOR))
    assert generator["PAGE"].read_text("utf-8") == generator["page"]()
