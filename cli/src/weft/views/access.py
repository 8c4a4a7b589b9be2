"""Who may call, what policies are about, and what drafts would deny, as tables. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from weft.access.model import Outcome, account
from weft.views.table import NONE, table

if TYPE_CHECKING:
    from weft.client import Leaving, Policies

Json = dict[str, Any]


def rules_table(ports: Mapping[int, Json | None], skipped: Iterable[int]) -> str:
    """The rules of each port in the order in which they are asked; the last line of a port is its default. `skipped`
    ports are not the proxy's."""
    rows = [row for port, access in ports.items() for row in _port(port, access)]
    rows += [[str(port), "allow", NONE, "no proxy: skip-inbound-ports", "anyone", "everything"] for port in skipped]
    return table(["PORT", "ACTION", "MODE", "BY", "FROM", "TO"], rows, left=6)


def _port(port: int, access: Json | None) -> Iterable[list[str]]:
    if not access:
        yield [str(port), "allow", "enforce", "no policy", "anyone", "everything"]
        return
    enforced, audited = access["enforced"], access["audited"]
    in_force = enforced["rules"] if enforced else []
    for rule in (audited or enforced or {"rules": []})["rules"]:
        yield _rule(port, rule, "enforce" if rule in in_force else "audit")
    yield _default(port, enforced, "enforce")
    if audited and audited["default"] != (enforced or {"default": "anyone"})["default"]:
        yield _default(port, audited, "audit")
    for limit in access["limits"]:
        per = "each client" if limit["per_client"] else "all together"
        row = _rule(port, limit | {"deny": False}, "enforce")
        yield [row[0], f"{limit['requests_per_second']}/s {per}", *row[2:]]


def _rule(port: int, rule: Json, mode: str) -> list[str]:
    who = ", ".join(map(client, rule["clients"])) or "anyone"
    what = ", ".join(map(call, rule["calls"])) or "everything"
    return [str(port), "deny" if rule["deny"] else "allow", mode, rule["name"], who, what]


def _default(port: int, decision: Json | None, mode: str) -> list[str]:
    default = decision["default"] if decision else "anyone"
    name = f"default: {decision['default_name']}" if decision else "default"
    if default == "deny":
        return [str(port), "deny", mode, name, "all others", "everything"]
    who = "anyone" if default == "anyone" else "with identity"
    return [str(port), "allow", mode, name, who, "everything"]


def client(one: Json) -> str:
    """Who, in words."""
    if one["network"]:
        return f"{one['network']['ip']}/{one['network']['prefix_length']}"
    if one["identity"]:
        return account(one["identity"])
    return f"ns {one['namespace']}" if one["namespace"] else "with identity"


def call(one: Json) -> str:
    """What, in words."""
    path = one["path"] if one["kind"] != "prefix" else f"{one['path'].rstrip('/')}/…"
    return " ".join(filter(None, (one["method"], path.replace("{}", "{…}"))))


WRONG = {"Accepted": "False", "Resolved": "False", "Shadowed": "True"}
"""Conditions of a policy, and the status that tells something."""


def policy_rows(policies: Iterable[Json], outcomes: Iterable[Outcome], counted: "Policies") -> list[Json]:
    """Each policy with the calls that it decides, those that it may decide, those that it refused, or would, and what
    its conditions tell."""
    decided, perhaps = Counter[str](), Counter[str]()
    for one in outcomes:
        names = set(map(_policy, one.among))
        for name in names:
            (decided if len(names) == 1 else perhaps)[name] += one.count
    refused, left = Counter[str](), Counter[str]()
    for row in counted["refused"]:
        refused[_policy(row["policy"])] += round(row["calls"])
    for way in counted["leaving"]:
        left[way["verdict"]] += round(way["calls"])
    return [_policy_row(policy, decided, perhaps, refused, left) for policy in policies]


def _policy(by: str) -> str:
    """Of a rule or default that it makes."""
    return by.removeprefix("policy ").partition("#")[0]


def _policy_row(
    policy: Json, decided: Counter[str], perhaps: Counter[str], refused: Counter[str], left: Counter[str]
) -> Json:
    """Policies with egress are one list, so each has all that was called outside; of limits nobody counts what they let
    pass."""
    meta, spec, status = policy["metadata"], policy.get("spec") or {}, policy.get("status") or {}
    other = next((name for name in ("rateLimit", "egress") if name in spec), "")
    name, mode = f"{meta['namespace']}/{meta['name']}", spec.get("mode", "enforce")
    calls, perhaps_its = (left.total(), 0) if other == "egress" else (decided[name], perhaps[name])
    told = [one for one in status.get("conditions") or [] if WRONG.get(one["type"]) == one["status"]]
    return {
        "name": meta["name"],
        "action": other or spec.get("action", "allow"),
        "mode": mode,
        "pods": status.get("pods"),
        "calls": None if other == "rateLimit" else calls,
        "open": None if other == "rateLimit" else perhaps_its,
        "refused": left[mode] if other == "egress" else refused[name],
        "note": "; ".join(one.get("message") or one["reason"] for one in told),
    }


def policies_table(rows: Iterable[Json]) -> str:
    """One line a policy."""
    columns = ("name", "action", "mode", "note", "pods", "calls", "open", "refused")
    shown = [[_cell(row[column]) for column in columns] for row in rows]
    return table(["POLICY", "ACTION", "MODE", "NOTE", "PODS", "CALLS", "OPEN", "REFUSED"], shown, left=4)


def leaving_rows(leaving: "Iterable[Leaving]") -> list[Json]:
    """Where calls to outside the mesh went, the most called first; those in audit passed."""
    found: dict[str, Counter[str]] = {}
    for one in leaving:
        found.setdefault(one["destination"], Counter())[one["verdict"]] += round(one["calls"])
    rows = [
        {"destination": name, "allowed": of["allow"], "audit": of["audit"], "refused": of["enforce"]}
        for name, of in found.items()
    ]
    return sorted(rows, key=lambda row: (-found[row["destination"]].total(), row["destination"]))


def leaving_table(rows: Iterable[Json]) -> str:
    """One line a host or address."""
    shown = [[_cell(row[column]) for column in ("destination", "allowed", "audit", "refused")] for row in rows]
    return table(["DESTINATION", "ALLOWED", "AUDIT", "REFUSED"], shown, left=1)


def _cell(value: str | int | None) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return value or NONE


def outcomes_table(outcomes: Iterable[Outcome]) -> str:
    """What a draft would deny, the most frequent first."""
    rows = [
        [
            "denied" if one.allowed is False else "depends",
            account(one.call.client),
            "/".join(one.call.workload),
            _request(one),
            one.by,
            f"{one.tapped[1]:,} of {one.tapped[0]:,}" if one.tapped[0] else NONE,
            f"{one.count:,}",
        ]
        for one in outcomes
    ]
    return table(["WOULD BE", "FROM", "TO", "CALL", "BY", "ALLOWED OF TAPPED", "CALLS"], rows, left=5)


def _request(one: Outcome) -> str:
    if one.call.method:
        return f"{one.call.method} {one.call.path}"
    return "requests" if one.call.http else "connections"


def verdict(port: int, one: Json) -> str:
    """An answer in a sentence."""
    enforced, audited = one["enforced"], one["audited"]
    if enforced["allowed"] is None:
        return f"depends  port {port}: on the address that it comes from, by {_by(enforced)}; --from po/NAME has one"
    said = "yes" if enforced["allowed"] else "no"
    would = "would" if audited["allowed"] is False else "from some addresses would"
    told = enforced["allowed"] and not audited["allowed"]
    extra = f"; {would} be denied by {_by(audited)}, were policies in audit enforced" if told else ""
    return f"{said:<4} port {port}: {_by(enforced) or 'no policy is in force: anyone may call'}{extra}"


def _by(verdict: Json) -> str:
    return " or ".join(verdict.get("among", [verdict["by"]]))


def outcome_json(one: Outcome) -> Json:
    """An outcome as -o json has it."""
    return {
        "workload": "/".join(one.call.workload),
        "client": one.call.client,
        "port": one.call.port or None,
        "method": one.call.method,
        "path": one.call.path,
        "http": one.call.http,
        "calls": one.count,
        "allowed": one.allowed,
        "by": one.by or NONE,
        "tapped": one.tapped[0],
        "tapped_allowed": one.tapped[1],
    }
