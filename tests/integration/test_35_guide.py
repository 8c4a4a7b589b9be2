"""Commands of the guides do what they say: every block marked `sh run`, in its page's order, on the demo as it is."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from guide import PAGES, blocks
from lab import ROOT
from load import running


@pytest.fixture(scope="module")
def visited(teahouse: None) -> Iterator[None]:
    """The demo with guests: what looks at traffic has some to look at."""
    with running("guests", rate=20, count=100_000):
        yield


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_blocks_of_a_guide_run(visited: None, page: Path) -> None:
    """Each ends well; with the block and what it printed when it does not."""
    for block in blocks(page):
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
