"""What the status of a policy says: how many pods it is about, what it names that is not there, what shadows it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from weft_kube.names import spiffe_id

from weft_destination.policy import table
from weft_destination.policy.model import Effect, Pod, Policy
from weft_destination.policy.words import meant

LISTED = 5
"""Names in a message."""


@dataclass(frozen=True, slots=True)
class Around:
    """What there is in a policy's namespace, and whom pods of any namespace run as."""

    pods: Mapping[Pod, int]
    """How many are alike."""
    deciders: Collection[Policy]
    """Policies that leave no call to others."""
    services: Collection[str]
    accounts: Collection[tuple[str, bool]]
    """As ("shop/cart", True), or False for pods without a proxy."""
    trust_domain: str


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
    chosen = {pod: number for pod, number in around.pods.items() if _about(policy, pod, named)}
    meshed = sum(number for pod, number in chosen.items() if pod.meshed)
    problems = list(_unresolved(policy, around, chosen, named))
    reason = problems[0][0] if problems else ""
    message = "; ".join(text for _, text in problems)
    return Status(meshed, "", (reason, message), _shadowed(policy, around, chosen, named))


def _about(policy: Policy, pod: Pod, named: table.Names) -> bool:
    """Is it about any port of the pod, or about what leaves it?"""
    return policy.effect is Effect.EGRESS or any(
        table.selects(policy, pod, port, named) for port in _ports(policy, pod, named)
    )


def _ports(policy: Policy, pod: Pod, named: table.Names) -> set[int]:
    """Ports that may be chosen: those that the policy or its Service names; any one when neither does."""
    service = named.service(policy.target.service) if policy.target.service else None
    wanted = policy.ports or (service.targets if service else ())
    return {number for one in wanted if (number := pod.number(one))} or ({1} if not wanted else set())


def _unresolved(
    policy: Policy, around: Around, chosen: Mapping[Pod, int], named: table.Names
) -> Iterator[tuple[str, str]]:
    """Reasons and messages."""
    yield from _target(policy, around, named)
    bare = sum(number for pod, number in chosen.items() if not pod.meshed)
    if bare:
        yield "NoProxy", f"{bare} of {sum(chosen.values())} pods have no proxy: nothing holds there"
    yield from _past(policy, chosen, named)
    yield from _accounts(policy, around)


def _past(policy: Policy, chosen: Mapping[Pod, int], named: table.Names) -> Iterator[tuple[str, str]]:
    """What goes past the proxy of pods that have one, by their own annotations."""
    total = sum(chosen.values())
    if policy.effect is Effect.EGRESS:
        if number := sum(number for pod, number in chosen.items() if pod.skips_out):
            what = "dial ports or networks past their proxy (skip-outbound-ports, skip-subnets)"
            yield "NoProxy", f"{number} of {total} pods {what}: nothing holds there"
        return
    past = {pod: ports for pod in chosen if (ports := _skipped(policy, pod, named))}
    if past:
        listed = ", ".join(sorted(set[str]().union(*past.values()))[:LISTED])
        number = sum(chosen[pod] for pod in past)
        what = f"are reached at {listed} past their proxy (skip-inbound-ports)"
        yield "NoProxy", f"{number} of {total} pods {what}: nothing holds there"


def _skipped(policy: Policy, pod: Pod, named: table.Names) -> set[str]:
    """Ports of the pod that the policy is about and the proxy is not asked at."""
    if not policy.ports and not policy.target.service:
        return {str(ports[0]) if len(ports) == 1 else f"{ports[0]}-{ports[-1]}" for ports in pod.skipped}
    about = (port for port in _ports(policy, pod, named) if table.selects(policy, pod, port, named))
    return {str(port) for port in about if any(port in ports for ports in pod.skipped)}


def _target(policy: Policy, around: Around, named: table.Names) -> Iterator[tuple[str, str]]:
    target = policy.target
    if target.service and named.service(target.service) is None:
        yield "NoService", f"there is no Service {target.service}{meant(target.service, around.services)}"
    elif target.route and (fault := named.route(target.service, target.route).fault):
        yield "NoRoute", fault
    anywhere = replace(policy, ports=())
    pods = [pod for pod in around.pods if _about(anywhere, pod, named)]
    if pods:
        yield from _absent_ports(policy, pods, named)
        return
    labels = {f"{name}={value}" for pod in around.pods for name, value in pod.labels}
    absent = sorted({f"{name}={value}" for name, value in target.labels} - labels)
    hints = [f"none has {one}{meant(one, labels)}" for one in absent[:LISTED]]
    yield "NoPods", f"it is about no pod{': ' if hints else ''}{', '.join(hints)}"


def _absent_ports(policy: Policy, pods: Collection[Pod], named: table.Names) -> Iterator[tuple[str, str]]:
    """Its ports that none of these pods has, so nothing holds at the one that was meant."""
    each = {port: replace(policy, ports=(port,)) for port in policy.ports}
    absent = {str(port) for port, one in each.items() if not any(_has(pod, port, one, named) for pod in pods)}
    if not absent:
        return
    known = {str(word) for pod in pods for port in pod.ports for word in port if word}
    where = f"Service {policy.target.service} leads to no" if policy.target.service else "no container declares"
    yield "NoPort", f"{where} port {_listed(absent, known)}"


def _has(pod: Pod, port: int | str, policy: Policy, named: table.Names) -> bool:
    """Is the policy, which is of this port alone, about the pod? A container may listen at ports that it does not
    declare: that counts where the pod declares none."""
    if not _about(policy, pod, named):
        return False
    return bool(policy.target.service) or not pod.ports or any(port in declared for declared in pod.ports)


def _accounts(policy: Policy, around: Around) -> Iterator[tuple[str, str]]:
    clients = [client for rule in policy.rules for client in rule.clients]
    clients += [client for limit in policy.limits for client in limit.clients]
    yield from _identities({client.identity for client in clients if client.identity}, around)
    if spaces := {client.namespace for client in clients if client.namespace}:
        proven = {(one.partition("/")[0], meshed) for one, meshed in around.accounts}
        yield from _nobody(spaces, proven, "UnknownNamespace", "no pod runs in namespace ")


def _identities(named: Collection[str], around: Around) -> Iterator[tuple[str, str]]:
    """Those that a certificate may have are accounts; others nobody can prove."""
    accounts = {identity: identity.partition("/ns/")[2].replace("/sa/", "/", 1) for identity in named}
    own = {one for one, name in accounts.items() if spiffe_id(around.trust_domain, *_parted(name)) == one}
    yield from _nobody({accounts[one] for one in own}, around.accounts, "UnknownAccount", "no pod runs as ")
    if strange := set(named) - own:
        known = {spiffe_id(around.trust_domain, *_parted(one)) for one, meshed in around.accounts if meshed}
        yield "UnknownIdentity", f"nobody in trust domain {around.trust_domain} can be {_listed(strange, known)}"


def _parted(account: str) -> tuple[str, str]:
    namespace, _, name = account.partition("/")
    return namespace, name


def _nobody(
    words: Collection[str], known: Collection[tuple[str, bool]], reason: str, text: str
) -> Iterator[tuple[str, str]]:
    """Those whom nobody is, and those whom nobody proves to be."""
    there = {word: ((word, True) in known, (word, False) in known) for word in words}
    if unknown := [word for word, found in there.items() if not any(found)]:
        yield reason, f"{text}{_listed(unknown, {word for word, _ in known})}"
    if bare := [word for word, found in there.items() if found == (False, True)]:
        yield "NoIdentity", f"pods of {_listed(bare, ())} have no proxy, so nobody proves to be it"


def _listed(words: Collection[str], known: Collection[str]) -> str:
    """With what may have been meant."""
    unknown = sorted(words)
    more = f" and {len(unknown) - LISTED} more" if len(unknown) > LISTED else ""
    return ", ".join(f"{word}{meant(word, known)}" for word in unknown[:LISTED]) + more


def _shadowed(policy: Policy, around: Around, chosen: Mapping[Pod, int], named: table.Names) -> str:
    """The policies that decide every call to all of its pods before it; empty when some calls are left to it."""
    if not chosen or policy.effect not in (Effect.ALLOW, Effect.DENY):
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
