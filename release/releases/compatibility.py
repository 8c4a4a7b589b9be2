"""docs/compatibility.md: which versions belong together. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from releases.versions import parsed

PAGE = """# What works with what

Made by `make gen` from the versions in the repository, `charts/mesh/values.yaml` and `release/charts.json`.

Every unit is released alone, and the chart pins one version of each. Contracts (`proto/`) only grow within v1, and a
test compares them with the released ones, so units need not move together: **proxy and control plane may be one minor
version apart**, either way. `weft check --proxy` names workloads with old proxies.

## Chart {chart}

Kubernetes: {kubernetes}; the suites run on {tested}.

| unit | version | speaks | works with |
|---|---|---|---|
{units}

## Charts released so far

{charts}
"""


PEERS = {"discovery": "destination", "identity": "identity", "tap": "tap"}
"""Contract → the unit that speaks it with proxies."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A unit as the chart pins it, and the contracts that its source uses."""

    name: str
    version: str
    contracts: tuple[str, ...]


def page(
    chart: str, kubernetes: str, tested: str, pinned: Sequence[Pinned], charts: Mapping[str, Mapping[str, str]]
) -> str:
    """The page; `charts` has the units of each chart that was released."""
    versions = {one.name: one.version for one in pinned}
    rows = "\n".join(_row(one, versions) for one in pinned)
    return PAGE.format(chart=chart, kubernetes=kubernetes, tested=tested, units=rows, charts=_history(charts))


def minors(version: str) -> str:
    """The minor versions that a peer may have: 1.3 to 1.5."""
    major, minor, _ = parsed(version)
    first = 0 if major else 1  # there was no 0.0
    return f"{major}.{max(minor - 1, first)} to {major}.{minor + 1}"


def _row(one: Pinned, versions: Mapping[str, str]) -> str:
    spoken = ", ".join(f"{contract}/v1" for contract in one.contracts) or "-"
    peers = [PEERS[contract] if one.name == "proxy" else "proxy" for contract in one.contracts]
    others = ", ".join(f"{peer} {minors(versions[peer])}" for peer in peers) or "what its chart pins"
    return f"| {one.name} | {one.version} | {spoken} | {others} |"


def _history(charts: Mapping[str, Mapping[str, str]]) -> str:
    if not charts:
        return "None yet."
    newest = sorted(charts, key=parsed, reverse=True)
    units = list(charts[newest[0]])
    head = [f"| chart | {' | '.join(units)} |", "|---" * (len(units) + 1) + "|"]
    rows = [f"| {chart} | {' | '.join(charts[chart].get(unit, '-') for unit in units)} |" for chart in newest]
    return "\n".join([*head, *rows])
