"""What an AccessPolicy may say. Pure."""

from collections.abc import Iterator
from typing import Any

from weft_sp_validator.callers import MAX_PORTS, SERVICE, calls, clients, outside, port
from weft_sp_validator.rules import Fault, choice, each, kind, number, record, text

MAX_RULES = 200
ROUTE_MAX = 507
"""Of an HTTPRoute's name, a slash and the name of one of its rules."""

CONTROL_PLANE = "weft"


def faults_of(policy: Any) -> list[Fault]:
    """Every fault of an object of this kind; none when it is sound."""
    if not isinstance(policy, dict):
        return [Fault("", f"must be an object, not {kind(policy)}")]
    spec = policy.get("spec")
    if not isinstance(spec, dict):
        return [Fault("spec", "is missing" if spec is None else f"must be an object, not {kind(spec)}")]
    return [*_FIELDS("spec", spec), *_purpose(spec), *_route(spec)]


def warnings_of(policy: dict[str, Any]) -> list[Fault]:
    """What is allowed and yet hardly meant, in a sound policy."""
    spec = policy["spec"]
    warnings = [*_redundant(spec), *_kubelet(spec), *_closed(spec)]
    if (policy.get("metadata") or {}).get("namespace") == CONTROL_PLANE:
        warnings.append(Fault("metadata.namespace", "has no effect: the control plane looks after itself"))
    return warnings


def _labels(path: str, value: Any) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(path, f"must be an object, not {kind(value)}")
        return
    if not value:
        yield Fault(path, "is empty; leave out the target for all pods of the namespace")
    for name, label in value.items():
        if not isinstance(label, str):
            yield Fault(f"{path}.{name}", f"must be a text, not {kind(label)}")


def _target(path: str, value: Any) -> Iterator[Fault]:
    yield from _TARGET(path, value)
    given = [one for one in value.values() if one is not None] if isinstance(value, dict) else [None]
    if len(given) != 1:
        yield Fault(path, "needs workload or service, and only one of them; leave it out for the whole namespace")


_TARGET = record(
    {
        "workload": record({"matchLabels": _labels}, required=["matchLabels"]),
        "service": record({"name": SERVICE, "route": text(ROUTE_MAX)}, required=["name"]),
    }
)
_RULE = record({"from": clients, "to": calls}, required=["from"])
_LIMIT = record(
    {
        "requestsPerSecond": number(1, 1_000_000_000, whole=True),
        "burst": number(0, 1_000_000_000, whole=True),
        "per": choice(["client", "target"]),
    },
    required=["requestsPerSecond"],
)
_FIELDS = record(
    {
        "target": _target,
        "ports": each(port, MAX_PORTS),
        "action": choice(["allow", "deny"]),
        "mode": choice(["enforce", "audit"]),
        "rules": each(_RULE, MAX_RULES),
        "rateLimit": _LIMIT,
        "egress": record({"allow": each(outside, 500)}, required=["allow"]),
    }
)


def _purpose(spec: dict[str, Any]) -> Iterator[Fault]:
    """A policy does one thing: it says who may call, or how often, or what may be called outside."""
    if spec.get("egress") is not None:
        for name in ("target", "ports", "action", "rules", "rateLimit"):
            if spec.get(name) is not None:
                yield Fault(
                    f"spec.{name}", "does not go with egress, which is of the whole namespace; make it two policies"
                )
    elif spec.get("rateLimit") is not None:
        if spec.get("action") is not None:
            yield Fault(
                "spec.action", "does not go with rateLimit, which allows and denies nobody; make it two policies"
            )
        if spec.get("mode") == "audit":
            yield Fault("spec.mode", "audit does not go with rateLimit: what calls there are, `weft viz stat` shows")
    elif not spec.get("rules"):
        yield Fault("spec.rules", 'is empty; to deny everybody say action: deny and from: [{"anyone": true}]')


def _route(spec: dict[str, Any]) -> Iterator[Fault]:
    """A route says what is called; a rule cannot say it again."""
    service = (spec.get("target") or {}).get("service") if isinstance(spec.get("target"), dict) else None
    if isinstance(service, dict) and service.get("route"):
        for place, rule in enumerate(_rules(spec)):
            if rule.get("to") is not None:
                yield Fault(
                    f"spec.rules[{place}].to", "does not go with target.service.route, which says what is called"
                )


def _rules(spec: dict[str, Any]) -> list[dict[str, Any]]:
    rules = spec.get("rules")
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []


def _redundant(spec: dict[str, Any]) -> Iterator[Fault]:
    """What an earlier rule, or another item, says already."""
    rules = _rules(spec)
    for place, rule in enumerate(rules):
        if rule in rules[:place]:
            yield Fault(f"spec.rules[{place}]", f"says the same as rules[{rules.index(rule)}]")
        if {"anyone": True} in rule["from"] and len(rule["from"]) > 1:
            yield Fault(f"spec.rules[{place}].from", "anyone includes all others; did you mean authenticated?")


def _kubelet(spec: dict[str, Any]) -> Iterator[Fault]:
    for place, rule in enumerate(_rules(spec)):
        if spec.get("action") == "deny" and {"anyone": True} in rule["from"] and not rule.get("to"):
            yield Fault(f"spec.rules[{place}]", "denies the kubelet's probes too: pods with probes will be restarted")


def _closed(spec: dict[str, Any]) -> Iterator[Fault]:
    if (spec.get("egress") or {}).get("allow") == []:
        yield Fault("spec.egress.allow", "is empty: pods of this namespace can call nothing outside the mesh")
