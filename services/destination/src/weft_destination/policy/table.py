"""What holds at a port of a pod: the rules of all policies that select it in one order, and the default behind them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from weft_destination.policy.model import (
    PROBE,
    Access,
    Base,
    Call,
    Decision,
    Default,
    Effect,
    Egress,
    Level,
    Limit,
    Pod,
    Policy,
    RouteCalls,
    Rule,
    Service,
)


class Names(Protocol):
    """What a target can name, in the namespace of its policy."""

    def service(self, name: str) -> Service | None:
        """A Service."""

    def route(self, service: str, route: str) -> RouteCalls:
        """The requests of a Service's route."""


def access(policies: Iterable[Policy], pod: Pod, port: int, base: Base, named: Names) -> Access | None:
    """What a port's proxy has to do; None when anyone may call. `policies` are those of the pod's namespace."""
    chosen = sorted((one for one in policies if selects(one, pod, port, named)), key=lambda one: one.key)
    rules = [one for one in chosen if one.effect in (Effect.ALLOW, Effect.DENY)]
    probes = tuple(probe.call for probe in pod.probes if probe.port == port)
    enforced = _decision([one for one in rules if not one.audit], base.name, _enforced(base), probes, named)
    audited = _decision(rules, base.name, base.default, probes, named)
    limits = tuple(_limits(chosen, named))
    found = Access(enforced, None if audited == enforced else audited, limits, probes if limits else ())
    return found if found != Access() else None


def selects(policy: Policy, pod: Pod, port: int, named: Names) -> bool:
    """Is the policy about this port of this pod?"""
    if policy.faults or policy.effect is Effect.EGRESS:
        return False
    if policy.ports and not any(pod.is_one(port, one) for one in policy.ports):
        return False
    if policy.target.service:
        service = named.service(policy.target.service) or Service()
        behind = bool(service.selector) and pod.labels.issuperset(service.selector)
        return behind and any(pod.number(target) == port for target in service.targets)
    return policy.target.labels <= pod.labels


def ordered(policies: Iterable[Policy], named: Names) -> tuple[Rule, ...]:
    """The rules of the narrowest policies first; of one level denials first; then in the order of the policies."""
    found = [(policy.target.level, rule) for policy in policies for rule in _rules(policy, named)]
    return tuple(rule for _, rule in sorted(found, key=lambda one: (-one[0], not one[1].deny)))


def egress(policies: Iterable[Policy]) -> Egress | None:
    """What pods of a namespace may call outside the mesh: policies add up. Drafts beside one that is enforced only
    widen what is allowed, so there is nothing to tell of them."""
    found = sorted((one for one in policies if one.egress and not one.faults), key=lambda one: one.key)
    held = [one for one in found if not one.audit] or found
    parts = [one.egress for one in held if one.egress]
    if not parts:
        return None
    hosts = tuple(sorted({host for part in parts for host in part.hosts}))
    networks = tuple(dict.fromkeys(network for part in parts for network in part.networks))
    return Egress(f"policy {held[0].name}", hosts, networks, held[0].audit)


def _enforced(base: Base) -> Default:
    return Default.ANYONE if base.audit else base.default


def _decision(
    policies: list[Policy], base_name: str, base: Default, probes: tuple[Call, ...], named: Names
) -> Decision | None:
    """A list of who may call means that others may not: beside any allow policy the default is to deny."""
    rules = ordered(policies, named)
    allowing = max((one for one in policies if one.effect is Effect.ALLOW), key=_narrow, default=None)
    if allowing:
        base, base_name = Default.DENY, f"policy {allowing.name}"
    if base is Default.ANYONE:
        return Decision(rules, base, base_name) if rules else None
    last = (Rule(PROBE, False, (), probes),) if probes else ()
    return Decision((*rules, *last), base, base_name)


def _narrow(policy: Policy) -> Level:
    return policy.target.level


def _rules(policy: Policy, named: Names) -> Iterable[Rule]:
    """Of a route with a fault nothing can be matched."""
    if not policy.target.route:
        return policy.rules
    calls = named.route(policy.target.service, policy.target.route).calls
    return [replace(rule, calls=calls) for rule in policy.rules] if calls else []


def _limits(policies: Iterable[Policy], named: Names) -> Iterable[Limit]:
    for policy in policies:
        calls = named.route(policy.target.service, policy.target.route).calls if policy.target.route else ()
        for limit in policy.limits:
            if calls or not policy.target.route:
                yield replace(limit, calls=calls) if calls else limit
