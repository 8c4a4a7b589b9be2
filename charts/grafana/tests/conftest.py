"""docs/metrics.md, read."""

import re
from pathlib import Path

import pytest

SERVICES = ("destination", "identity", "injector", "tap", "web")


@pytest.fixture(scope="session")
def page() -> dict[str, tuple[str, list[str]]]:
    """Each metric's type and labels; rows for every <service> are repeated."""
    text = (Path(__file__).parents[3] / "docs/metrics.md").read_text()
    found = {}
    for name, kind, labels in re.findall(r"^\| `(\S+)` \| (\w+) \|([^|]*)\|", text, re.MULTILINE):
        for service in SERVICES if "<service>" in name else ("",):
            found[name.replace("<service>", service)] = (kind, re.findall(r"\w+", labels))
    return found
