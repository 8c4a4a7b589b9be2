"""The truth table of docs/access.md as values: what stands there is tried by unit tests and on a cluster."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

NAMESPACE = "shop"
LABELS = {"app": "menu"}
_POLICY = re.compile(r"(draft )?(namespace|workload|service|route) (allow|deny) (\S+)((?: [A-Z]+ /\S*)?)( @raw)?")
_CALL = re.compile(r"(\S+) (?:(TCP)|([A-Z]+) (\S+))( @\w+)?")
_TARGETS: dict[str, Json] = {
    "namespace": {},
    "workload": {"target": {"workload": {"matchLabels": LABELS}}},
    "service": {"target": {"service": {"name": "menu"}}},
    "route": {"target": {"service": {"name": "menu", "route": "list"}}},
}


@dataclass(frozen=True, slots=True)
class Row:
    """A line: policies p1, p2… as objects, a call, and what becomes of it."""

    text: str
    default: str
    """Of the namespace."""
    own_default: str
    """Of the pod; empty for none."""
    policies: tuple[Json, ...]
    client: str
    """An account of `shop`, NAMESPACE/ACCOUNT, or "nobody"."""
    method: str
    """Empty for a connection that is not HTTP."""
    path: str
    raw: bool
    """At port `raw` instead of `http`."""
    allowed: bool
    told: bool
    by: str


def rows(page: Path) -> Iterator[Row]:
    """Every row of the page's table."""
    lines = page.read_text().partition("## Truth table")[2].partition("\n## ")[0].splitlines()
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] not in ("default", "---"):
            yield _row(line, cells)


def _row(line: str, cells: list[str]) -> Row:
    defaults, policies, call, verdict, by = cells
    default, _, own_default = defaults.partition(", pod ")
    found = _CALL.fullmatch(call)
    if not found:
        raise ValueError(f"no call: {call}")
    objects = (_policy(number, text.strip()) for number, text in enumerate(filter(None, policies.split(";")), 1))
    return Row(
        line,
        default,
        own_default,
        tuple(objects),
        found[1],
        found[3] or "",
        found[4] or "",
        bool(found[5]),
        verdict.startswith("allowed"),
        verdict.endswith(", told"),
        re.sub(r"(\d)", rf"{NAMESPACE}/p\1", by),
    )


def _policy(number: int, text: str) -> Json:
    found = _POLICY.fullmatch(text)
    if not found:
        raise ValueError(f"no policy: {text}")
    draft, level, action, who, what, port = found.groups()
    spec = {
        **_TARGETS[level],
        "action": action,
        "mode": "audit" if draft else "enforce",
        "rules": [{"from": [_client(who)], **_calls(what.split())}],
        **({"ports": ["raw"]} if port else {}),
    }
    meta = {"name": f"p{number}", "namespace": NAMESPACE}
    return {"apiVersion": "weft.dev/v1alpha1", "kind": "AccessPolicy", "metadata": meta, "spec": spec}


def _client(who: str) -> Json:
    if who in ("anyone", "authenticated"):
        return {who: True}
    if who.startswith("ns:"):
        return {"namespace": who.removeprefix("ns:")}
    return {"serviceAccount": {"name": who}}


def _calls(what: list[str]) -> Json:
    if not what:
        return {}
    method, path = what
    return {"to": [{"methods": [method], **_path(path)}]}


def _path(path: str) -> Json:
    return {"pathPrefixes": [path.removesuffix("/...")]} if path.endswith("/...") else {"paths": [path]}
