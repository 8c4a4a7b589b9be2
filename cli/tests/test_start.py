"""What the command line loads when it starts: little, so that `--help` and completion are there at once."""

import subprocess
import sys

import pytest

LOADED = (
    "import sys, weft.main\ntry: weft.main.cli({!r})\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
)
OWN = {"click", "weft"}
SLOW = {"asyncio", "concurrent.futures", "email", "http.client", "socket", "ssl", "subprocess", "urllib.request"}
"""Of the standard library: what brings much along."""


@pytest.mark.parametrize("command", [["--help"], ["viz", "stat", "--help"], ["check", "--help"]])
def test_help_loads_click_and_nothing_else_of_others(command: list[str]) -> None:
    """Commands import what they need when they run: neither kubernetes nor rich, nor what is slow of Python's own."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED.format(command)], capture_output=True, text=True, check=True
    )
    bare = subprocess.run(
        [sys.executable, "-I", "-c", "import sys\nprint(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.split()) - set(bare.stderr.split())
    others = {module.partition(".")[0] for module in loaded} - set(sys.stdlib_module_names)
    assert (others, loaded & SLOW) == (OWN, set())
