"""Writes the options into docs/injection.md (`make gen`)."""

from pathlib import Path

from weft_sidecar.page import with_table

PAGE = Path(__file__).parents[2] / "docs/injection.md"
PAGE.write_text(with_table(PAGE.read_text()))
