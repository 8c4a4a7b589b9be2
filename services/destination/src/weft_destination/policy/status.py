"""What the status of a policy says: how many pods it is about, what it names that is not there, what shadows it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from weft_destination.policy import table
from weft_destination.policy.model import Effect, Pod, Policy
from weft_destination.policy.words import meant

LISTED = 5
"""Names in a message."""


@dataclass(frozen=True, slots=True)
class Around:
    """What there is in a policy's namespace, and which accounts pods of any namespace run as ("shop/cart")."""

    pods: Mapping[Pod, int]
    """How many are alike."""
    deciders: Collection[Policy]
    """Policies that leave no call to others."""
    services: Collection[str]
    accounts: Collection[str]


@dataclass(frozen=True, slots=True)
class Status:
    """Pods with a proxy that it is about; reason and message of what is wrong, empty when nothing is."""

    pods: int
    fault: str = ""
    unresolved: tuple[str, str] = ("", "")
    shadowed: str = ""


def status(policy: Policy, around: Around, named: table.Names) -> Status:
    """All of it."""
    if policy.faults:
        return Status(0, "; ".join(policy.faults))
    if policy.effect is Effect.EGRESS:
        return Status(sum(number for pod, number in around.pods.items() if pod.meshed))
    chosen = {pod: number for pod, number in around.pods.items() if _about(policy, pod, named)}
    meshed = sum(number for pod, number in chosen.items() if pod.meshed)
    problems = list(_unresolved(policy, around, chosen, named))
    reason = problems[0][0] if problems else ""
    message = "; ".join(text for _, text in problems)
    return Status(meshed, "", (reason, message), _shadowed(policy, around, chosen, named))


def _about(policy: Policy, pod: Pod, named: table.Names) -> bool:
    """Is it about any port of the pod?"""
    return any(table.selects(policy, pod, port, named) for port in _ports(policy, pod, named))


def _ports(policy: Policy, pod: Pod, named: table.Names) -> set[int]:
    """Ports that may be chosen: those that the policy or its Service names; any one when neither does."""
    service = named.service(policy.target.service) if policy.target.service else None
    wanted = policy.ports or (service.targets if service else ())
    return {number for one in wanted if (number := pod.number(one))} or ({1} if not wanted else set())


def _unresolved(
    policy: Policy, around: Around, chosen: Mapping[Pod, int], named: table.Names
) -> Iterator[tuple[str, str]]:
    """Reasons and messages."""
    yield from _target(policy, around, chosen, named)
    bare = sum(number for pod, number in chosen.items() if not pod.meshed)
    if bare:
        yield "NoProxy", f"{bare} of {sum(chosen.values())} pods have no proxy: nothing holds there"
    yield from _accounts(policy, around)


def _target(policy: Policy, around: Around, chosen: Mapping[Pod, int], named: table.Names) -> Iterator[tuple[str, str]]:
    target = policy.target
    if target.service and named.service(target.service) is None:
        yield "NoService", f"there is no Service {target.service}{meant(target.service, around.services)}"
    elif target.route and (fault := named.route(target.service, target.route).fault):
        yield "NoRoute", fault
    if chosen:
        return
    labels = {f"{name}={value}" for pod in around.pods for name, value in pod.labels}
    absent = sorted({f"{name}={value}" for name, value in target.labels} - labels)
    hints = [f"none has {one}{meant(one, labels)}" for one in absent[:LISTED]]
    ports = [str(port) for port in policy.ports if all(pod.number(port) is None for pod in around.pods)]
    hints += [f"none has a port {port}" for port in ports[:LISTED]]
    yield "NoPods", f"it is about no pod{': ' if hints else ''}{', '.join(hints)}"


def _accounts(policy: Policy, around: Around) -> Iterator[tuple[str, str]]:
    clients = [client for rule in policy.rules for client in rule.clients]
    clients += [client for limit in policy.limits for client in limit.clients]
    named = {client.identity for client in clients if client.identity}
    accounts = {identity.partition("/ns/")[2].replace("/sa/", "/", 1) for identity in named if "/ns/" in identity}
    if unknown := _unknown(accounts, around.accounts):
        yield "UnknownAccount", f"no pod runs as {unknown}"
    namespaces = {one.partition("/")[0] for one in around.accounts}
    if unknown := _unknown({client.namespace for client in clients if client.namespace}, namespaces):
        yield "UnknownNamespace", f"no pod runs in namespace {unknown}"


def _unknown(words: Collection[str], known: Collection[str]) -> str:
    """Those that are not known, with what may have been meant."""
    unknown = sorted(word for word in words if word not in known)
    more = f" and {len(unknown) - LISTED} more" if len(unknown) > LISTED else ""
    return ", ".join(f"{word}{meant(word, known)}" for word in unknown[:LISTED]) + more


def _shadowed(policy: Policy, around: Around, chosen: Mapping[Pod, int], named: table.Names) -> str:
    """The policies that decide every call to all of its pods before it; empty when some calls are left to it."""
    if not chosen or policy.effect is Effect.LIMIT:
        return ""
    rivals = [one for one in around.deciders if _before(one, policy)]
    found: set[str] = set()
    for pod in chosen:
        for port in _ports(policy, pod, named):
            over = [one.name for one in rivals if table.selects(one, pod, port, named)]
            if not over or (not policy.ports and any(one.ports for one in rivals)):
                return ""
            found.update(over)
    return ", ".join(sorted(found)[:LISTED])


def decides_all(policy: Policy) -> bool:
    """Does it leave no call to its pods, at its ports, to others?"""
    in_force = not policy.faults and not policy.audit
    return in_force and not policy.target.route and any(not rule.clients and not rule.calls for rule in policy.rules)


def _before(one: Policy, other: Policy) -> bool:
    """Is it asked before the other?"""
    deny = one.effect is Effect.DENY and other.effect is Effect.ALLOW
    return one.target.level > other.target.level or (one.target.level == other.target.level and deny)
