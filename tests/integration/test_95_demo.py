"""`make demo`, the README's first command, where a cluster runs already: what it prints comes from the live system."""

import re
from collections.abc import Iterator

import pytest
from lab import http, kubectl, run

AGAIN = 180
"""Seconds that it may take when cluster and images are there."""
URL = re.compile(r"^(\w+) +(http://\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def printed() -> Iterator[str]:
    """All that it says on stdout; what it has made goes in the end, but for the cluster."""
    if "namespace/weft" in kubectl("get", "namespaces", "-o", "name").split():
        pytest.skip("weft is installed: whoever did it shall take it away")
    try:
        yield run("make", "-s", "demo", timeout=AGAIN).stdout
    finally:
        run("tests/cluster/demo", "clear")


def test_the_demo_shows_what_the_mesh_sees(printed: str) -> None:
    """Checks that hold, each workload's numbers, ten requests as they happen."""
    commands = re.split(r"^\$ (.*)$", printed, flags=re.MULTILINE)
    said = dict(zip(commands[1::2], commands[2::2], strict=True))

    assert list(said) == [
        "weft check",
        "weft -n teahouse check --proxy",
        "weft viz stat deploy -n teahouse",
        "weft viz tap deploy/counter -n teahouse --limit 10 --duration 60s",
    ]
    checks, proxies, stat, tap = said.values()
    assert ["Status check results are √" in text for text in (checks, proxies)] == [True, True]
    assert {"counter", "kettle", "menu"} <= {line.partition(" ")[0] for line in stat.splitlines()}
    assert len(re.findall(r"^\d\d:\d\d:\d\d\.", tap, re.MULTILINE)) == 10


def test_the_demo_s_pages_answer(printed: str) -> None:
    """The URLs that it prints go on when make has returned."""
    pages = dict(URL.findall(printed))

    assert pages.keys() >= {"teahouse", "dashboard"}
    assert {name: http(url)[0] for name, url in pages.items()} == dict.fromkeys(pages, 200)
