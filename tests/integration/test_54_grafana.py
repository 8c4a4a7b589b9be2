"""Every panel of every Grafana dashboard shows something on a live mesh."""

import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any

from lab import ROOT, eventually, forward, http
from load import running

DASHBOARDS = ROOT / "charts" / "mesh" / "charts" / "viz" / "files" / "dashboards"
VARIABLES = {
    "namespace": "teahouse",
    "kind": "deployment",
    "workload": "counter",
    "service": "counter",
    "__rate_interval": "1m",
    "__interval": "1m",
    "__range": "5m",
}


BOARDS = {
    "control-plane", "edges", "identity", "namespace", "overview", "pod", "proxy", "service", "workload",
}  # fmt: skip
BUSY = ("weft_requests_total", "weft_response_duration_seconds", "weft:")
"""What has numbers as long as there is traffic."""

SELDOM = {"weft_proxy_errors_total", "weft_identity_refused_total"}
"""Series that begin with the first thing that goes wrong."""

OR_ZERO = re.compile(r"(?P<inner>.*) or vector\(0\)", re.DOTALL)
METRIC = re.compile(r"\b(?:weft|process)[_:][a-z0-9_:]+|\bup\b")
LABEL_VALUES = re.compile(r"label_values\((?P<series>.+), (?P<label>\w+)\)")
"""How Grafana asks what a variable can be."""


def expressions(node: object) -> Iterator[str]:
    """All PromQL in a dashboard's JSON, except what fills variables."""
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node["expr"]
        for key, value in node.items():
            if key != "templating":
                yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def variables(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and query of what a dashboard lets one choose."""
    for one in board.get("templating", {}).get("list", []):
        if one["type"] == "query":
            yield one["name"], one["query"]


def proven(expression: str) -> list[str]:
    """What must have data where an expression does. One that says 0 where there is nothing always does: there it is
    the series that it reads."""
    always = OR_ZERO.fullmatch(expression)
    return sorted(set(METRIC.findall(always["inner"])) - SELDOM) if always else [expression]


def filled(expression: str) -> str:
    """The expression with Grafana's variables replaced."""
    return re.sub(r"\$\{?(\w+)(?::\w+)?\}?", lambda m: VARIABLES.get(m[1], ".*"), expression)


def test_every_expression_of_every_dashboard_returns_data(teahouse: None) -> None:
    """Asked of the cluster's own Prometheus, under load, none is empty, and what fills variables is not either."""
    boards = {file.stem: json.loads(file.read_text()) for file in DASHBOARDS.glob("*.json")}
    assert set(boards) == BOARDS
    wanted = {one for board in boards.values() for found in expressions(board) for one in proven(found)}
    choices = {choice for board in boards.values() for choice in variables(board)}
    with running("panels", rate=20, count=2000), forward("weft", "svc/prometheus", 9090) as prometheus:

        def empty() -> list[str]:
            unknown = [f"{name}: {asked}" for name, asked in choices if not chosen(prometheus, name, asked)]
            return sorted(one for one in wanted if not told(prometheus, one)) + sorted(unknown)

        eventually(lambda: not empty() or _complain(empty()), 60, 3)


def test_what_begins_with_the_first_error_is_in_the_contract() -> None:
    """The names that may have no series yet: docs/metrics.md, which is compared with what runs, has them."""
    contract = (ROOT / "docs" / "metrics.md").read_text()
    assert {name for name in SELDOM if f"| `{name}` |" in contract} == SELDOM


def _complain(expressions: list[str]) -> bool:
    raise AssertionError("no data for:\n" + "\n".join(expressions))


def told(prometheus: str, expression: str) -> list[object]:
    """Samples of the result; where there is traffic, those that are numbers."""
    samples = query(prometheus, filled(expression))
    busy = any(name in expression for name in BUSY)
    return [one for one in samples if not busy or one["value"][1] != "NaN"]


def chosen(prometheus: str, name: str, asked: str) -> bool:
    """Does a variable offer what the expressions are filled with?"""
    parts = LABEL_VALUES.fullmatch(asked)
    assert parts, f"{name}: {asked} is no label_values"
    series = urllib.parse.urlencode({"match[]": filled(parts["series"])})
    values: Iterable[str] = data(f"{prometheus}/api/v1/label/{parts['label']}/values?{series}")
    return VARIABLES[name] in values if name in VARIABLES else bool(values)


def query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """The result vector."""
    asked = urllib.parse.urlencode({"query": expression})
    found: list[dict[str, Any]] = data(f"{prometheus}/api/v1/query?{asked}")["result"]
    return found


def data(url: str) -> Any:
    """What Prometheus answers."""
    status, text = http(url)
    assert status == 200, f"{url}: {text}"
    return json.loads(text)["data"]
