"""Dashboards: committed as generated, sound by Grafana's own model, and about metrics that exist."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "charts/mesh/charts/viz/files/dashboards").glob("*.json"))
Page = dict[str, tuple[str, list[str]]]
SCRAPED = {"job", "namespace", "pod", "node", "workload_kind", "workload", "component", "instance", "__name__"}


def expressions(node: object) -> Iterator[str]:
    """All PromQL in a dashboard."""
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node["expr"]
        for value in node.values():
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def test_committed_files_are_what_the_generator_writes() -> None:
    """Nobody edits JSON by hand."""
    command = [sys.executable, str(ROOT / "charts/grafana/generate.py"), "--check"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_survives_grafanas_model(path: Path) -> None:
    """Read by grafana-foundation-sdk's model, nothing is lost; its uid is its link's."""
    data = json.loads(path.read_text())
    board = Dashboard.from_json(data)
    assert board.to_json()["title"] == data["title"]
    assert (board.uid, len(board.panels or [])) == (f"weft-{path.stem}", len(data["panels"]))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_expressions_use_documented_metrics_and_labels(path: Path, page: Page) -> None:
    """Every metric is in docs/metrics.md, every label is one of its own or of the scrape."""
    known = page | {"up": ("gauge", [])}
    for expression in expressions(json.loads(path.read_text())):
        names = set(re.findall(r"\bweft:[\w:]+|\b(?:weft|process)_\w+|\bup\b", expression))
        metrics = {re.sub(r"_bucket$", "", name) for name in names if not name.startswith("weft-") and name != "weft_"}
        assert metrics <= set(known), expression
        allowed = SCRAPED.union(*(known[name][1] for name in metrics), {"le"})
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            used |= set(re.findall(r"\w+", labels))
        assert used <= allowed, expression


def test_the_workloads_dashboard_has_the_links_variables() -> None:
    """/d/weft-workload?var-namespace=…&var-kind=…&var-workload=…"""
    data = json.loads((FILES[0].parent / "workload.json").read_text())
    names = [one["name"] for one in data["templating"]["list"]]
    assert (data["uid"], names) == ("weft-workload", ["datasource", "namespace", "kind", "workload"])
