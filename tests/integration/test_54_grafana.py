"""Every panel of every Grafana dashboard shows something on a live mesh."""

import json
import re
import urllib.parse
from collections.abc import Iterator

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


def filled(expression: str) -> str:
    """The expression with Grafana's variables replaced."""
    return re.sub(r"\$\{?(\w+)(?::\w+)?\}?", lambda m: VARIABLES.get(m[1], ".*"), expression)


def test_every_expression_of_every_dashboard_returns_data(teahouse: None) -> None:
    """Asked of the cluster's own Prometheus, under load, none is empty."""
    with running("panels", rate=20, count=2000), forward("weft", "svc/prometheus", 9090) as prometheus:
        found = {e for f in sorted(DASHBOARDS.glob("*.json")) for e in expressions(json.loads(f.read_text()))}
        assert len(found) > 5

        def empty() -> list[str]:
            return [e for e in sorted(found) if not query(prometheus, filled(e))]

        eventually(lambda: not empty() or _complain(empty()), 60, 3)


def _complain(expressions: list[str]) -> bool:
    raise AssertionError("no data for:\n" + "\n".join(expressions))


def query(prometheus: str, expression: str) -> list[object]:
    """The result vector."""
    status, text = http(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    assert status == 200, f"{expression}: {text}"
    found: list[object] = json.loads(text)["data"]["result"]
    return found
