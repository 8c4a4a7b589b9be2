"""Golden files: what a test expects, kept beside it. `UPDATE_GOLDEN=1 uv run pytest …` writes them anew."""

import os
from pathlib import Path

import msgspec

from weft_testkit.objects import Json


def expected(file: Path, actual: str) -> str:
    """The golden file's text; with UPDATE_GOLDEN set it is made `actual` first."""
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(actual)
    return file.read_text()


def pretty(value: Json | list[Json]) -> str:
    """JSON that reads well in a diff."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
