"""What a table says of one call: the decision that the proxy makes, for people who ask before it happens."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from weft_kube.paths import plain_path

from weft_destination.policy.model import PROBE, Call, Client, Decision, Default, Network, Path, Rule

_BEHIND = re.compile(r"[?#].*", re.DOTALL)
_NAME = "[a-z0-9.-]{1,253}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request, or a connection that is not HTTP (no method). `identity` is empty without mesh TLS."""

    identity: str = ""
    ip: bytes = b""
    method: str = ""
    path: str = ""
    """As it is asked for: a query behind it is not looked at."""
    opaque: bool = False
    """The port is opaque: what it carries is known not to be looked into, a request no more than anything else."""
    namespace: str = ""
    """Of the identity."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a call, and the rule or default that decides."""

    allowed: bool
    by: str


def namespace_of(identity: str, trust_domain: str) -> str:
    """Of a workload of this trust domain; empty for other identities, which mesh TLS lets nobody have."""
    found = re.fullmatch(f"spiffe://{re.escape(trust_domain)}/ns/({_NAME})/sa/{_NAME}", identity)
    return found[1] if found else ""


NOTHING = Decision((), Default.ANYONE, "")
"""What is in force where nothing is."""


def decide(decision: Decision, attempt: Attempt) -> Verdict:
    """The first rule that matches; else the default."""
    path = plain_path(_BEHIND.sub("", attempt.path))
    for rule in decision.rules:
        if _is_one_of(rule.clients, attempt) and _does_one_of(rule.calls, attempt, path, deny=rule.deny):
            return Verdict(not rule.deny, rule.name)
    known = decision.default is Default.AUTHENTICATED and attempt.identity != ""
    return Verdict(decision.default is Default.ANYONE or known, decision.default_name)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What becomes of calls of which not all is known: `allowed` is None where some are allowed and some denied; and
    every rule or default that may decide, in their order."""

    allowed: bool | None
    by: tuple[str, ...]


def foresee(decision: Decision, attempt: Attempt, *, any_request: bool = False, any_address: bool = False) -> Foreseen:
    """What becomes of a client's requests, whichever they are, or of its calls, wherever they come from. The kubelet's
    probes are not looked at."""
    path = plain_path(_BEHIND.sub("", attempt.path))
    found: list[Verdict] = []
    for rule in decision.rules:
        who = _may_be_one_of(rule.clients, attempt, any_address=any_address)
        what = _may_do(rule, attempt) if any_request else _does_one_of(rule.calls, attempt, path, deny=rule.deny)
        if who is False or what is False:
            continue
        found.append(Verdict(not rule.deny, rule.name))
        if who and what:
            break
    else:
        found.append(decide(Decision((), decision.default, decision.default_name), attempt))
    outcomes = {verdict.allowed for verdict in found}
    return Foreseen(outcomes.pop() if len(outcomes) == 1 else None, tuple(dict.fromkeys(one.by for one in found)))


def _may_be_one_of(clients: tuple[Client, ...], attempt: Attempt, *, any_address: bool) -> bool | None:
    """None: it depends on the address."""
    known = tuple(one for one in clients if not (any_address and one.network))
    if not clients or (known and _is_one_of(known, attempt)):
        return True
    return None if len(known) < len(clients) else False


def _may_do(rule: Rule, attempt: Attempt) -> bool | None:
    """None: it depends on the request."""
    if not rule.calls:
        return True
    return False if attempt.opaque or rule.name == PROBE else None


def _is_one_of(clients: tuple[Client, ...], attempt: Attempt) -> bool:
    return not clients or any(_is(client, attempt) for client in clients)


def _is(client: Client, attempt: Attempt) -> bool:
    if client.network:
        return _within(client.network, attempt.ip)
    if client.identity:
        return client.identity == attempt.identity
    if client.namespace:
        return client.namespace == attempt.namespace
    return attempt.identity != ""


def _within(network: Network, ip: bytes) -> bool:
    if len(network.ip) != len(ip):
        return False
    return ipaddress.ip_address(ip) in ipaddress.ip_network((network.ip, network.prefix_length))


def _does_one_of(calls: Iterable[Call], attempt: Attempt, path: str | None, *, deny: bool) -> bool:
    """What is not HTTP could be any request to who denies some, and is none to who allows some."""
    if not calls:
        return True
    if attempt.opaque or not attempt.method:
        return deny and not attempt.opaque
    return any(_by(call, attempt.method, deny=deny) and _leads_to(call, path, deny=deny) for call in calls)


def _by(call: Call, method: str, *, deny: bool) -> bool:
    """Some applications take "get" for GET: who denies one denies both."""
    return call.method in ("", method) or (deny and call.method.lower() == method.lower())


def _leads_to(call: Call, path: str | None, *, deny: bool) -> bool:
    """`path` is in its normal form; None when it could be read in two ways: who denies some path denies it."""
    if call.kind is Path.ANY:
        return True
    if path is None:
        return deny
    wanted = call.path
    if deny:
        path, wanted = path.rstrip("/") or "/", wanted.rstrip("/") or "/"
    if call.kind is Path.EXACT:
        return path == wanted
    if call.kind is Path.PREFIX:
        return f"{path}/".startswith(wanted.rstrip("/") + "/")
    return _fits(wanted.split("/"), path.split("/"))


def _fits(template: list[str], path: list[str]) -> bool:
    same_length = len(template) == len(path)
    return same_length and all(a == b or (a == "{}" and b != "") for a, b in zip(template, path, strict=True))
