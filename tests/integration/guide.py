"""The documents' commands, run as they stand there.

A block that begins with ```sh run NAME is run by the test or fixture that follows it; one without a name by test_35, on
the demo.
"""

import re
from pathlib import Path

from lab import ROOT, run

FENCE = re.compile(r"^```sh run ?(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if FENCE.search(page.read_text()))


def blocks(page: Path, name: str = "") -> list[str]:
    """A page's blocks of this name."""
    return [block for found, block in FENCE.findall(page.read_text()) if found == name]


def shown(page: str, name: str) -> str:
    """The file of this name that a page shows: ```yaml NAME."""
    (text,) = re.findall(rf"^```yaml {re.escape(name)}\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.M | re.S)
    return str(text)


def follow(page: str, name: str, folder: Path = ROOT, timeout: float = 400) -> str:
    """Runs the page's block of this name, in a folder; what it printed. Grafana's image cannot be pulled everywhere."""
    (block,) = blocks(ROOT / "docs" / page, name)
    block = block.replace("weft viz install", "weft viz install --set viz.grafana.enabled=false")
    return run("bash", "-euo", "pipefail", "-c", f"cd {folder}\n{block}", timeout=timeout).stdout
