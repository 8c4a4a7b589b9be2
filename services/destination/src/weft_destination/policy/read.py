"""AccessPolicy objects as values. What is wrong with one is said by its field, and then it holds nowhere."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field
from weft_kube.names import spiffe_id
from weft_kube.paths import path_regex, plain_path

from weft_destination.policy.model import Call, Client, Effect, Egress, Key, Limit, Network, Path, Policy, Rule, Target

Json = dict[str, Any]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Port = Annotated[int, Meta(ge=1, le=65535)]

_PARAMETER = re.compile(r"\{[^/]*\}")
_HOST = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class _Spec(Struct, forbid_unknown_fields=True, rename="camel"):
    """Base of the parts of a spec."""


class _Account(_Spec):
    name: str
    namespace: str = ""


class _From(_Spec):
    service_account: _Account | None = None
    namespace: str | None = None
    identity: str | None = None
    cidr: str | None = None
    authenticated: Literal[True] | None = None
    anyone: Literal[True] | None = None


class _Grpc(_Spec):
    service: str
    method: str = ""


class _To(_Spec):
    methods: list[str] = []
    paths: list[str] = []
    path_prefixes: list[str] = []
    grpc: list[_Grpc] = []


class _Rule(_Spec):
    from_: list[_From] = field(name="from")
    to: list[_To] = []


class _Labels(_Spec):
    match_labels: dict[str, str]


class _Service(_Spec):
    name: str
    route: str = ""


class _Target(_Spec):
    workload: _Labels | None = None
    service: _Service | None = None


class _RateLimit(_Spec):
    requests_per_second: Count
    burst: int = 0
    per: Literal["client", "target"] = "client"


class _Outside(_Spec):
    host: str | None = None
    cidr: str | None = None
    ports: list[Port] = []


class _Egress(_Spec):
    allow: list[_Outside]


class _AccessPolicy(_Spec):
    target: _Target = field(default_factory=_Target)
    ports: list[Port | str] = []
    action: Literal["allow", "deny"] | None = None
    mode: Literal["enforce", "audit"] = "enforce"
    rules: list[_Rule] = []
    rate_limit: _RateLimit | None = None
    egress: _Egress | None = None


def read_policy(key: Key, spec: Json, trust_domain: str) -> Policy:
    """The policy; with faults it is in force nowhere."""
    try:
        return _policy(key, msgspec.convert(spec, _AccessPolicy), trust_domain)
    except ValueError as error:  # msgspec.ValidationError is one
        return Policy(key, Effect.ALLOW, faults=(str(error),))


def _policy(key: Key, spec: _AccessPolicy, trust_domain: str) -> Policy:
    effect = _effect(spec)
    rules = tuple(_rules(key, spec, trust_domain, deny=effect is Effect.DENY))
    return Policy(
        key,
        effect,
        _target(spec.target),
        tuple(spec.ports),
        spec.mode == "audit",
        rules if effect in (Effect.ALLOW, Effect.DENY) else (),
        tuple(_limits(key, rules, spec.rate_limit)) if spec.rate_limit else (),
        _egress(key, spec.egress, audit=spec.mode == "audit") if spec.egress else None,
    )


def _effect(spec: _AccessPolicy) -> Effect:
    """A policy does one thing."""
    if spec.egress:
        if spec.rules or spec.rate_limit or spec.ports or spec.action or spec.target != _Target():
            raise ValueError("spec.egress is of the whole namespace: no target, ports, action, rules or rateLimit")
        return Effect.EGRESS
    if spec.rate_limit:
        if spec.action or spec.mode == "audit":
            raise ValueError("spec.rateLimit has neither action nor audit: it counts what its rules match")
        return Effect.LIMIT
    if not spec.rules:
        raise ValueError("spec.rules is empty")
    return Effect.DENY if spec.action == "deny" else Effect.ALLOW


def _target(target: _Target) -> Target:
    if target.workload and target.service:
        raise ValueError("spec.target has both workload and service")
    if target.workload:
        if not target.workload.match_labels:
            raise ValueError("spec.target.workload.matchLabels is empty")
        return Target(labels=frozenset(target.workload.match_labels.items()))
    return Target(service=target.service.name, route=target.service.route) if target.service else Target()


def _rules(key: Key, spec: _AccessPolicy, trust_domain: str, *, deny: bool) -> Iterator[Rule]:
    for number, rule in enumerate(spec.rules):
        if rule.to and spec.target.service and spec.target.service.route:
            raise ValueError(f"spec.rules[{number}].to: the target's route says already which requests")
        name = "/".join(key) + (f"#{number}" if len(spec.rules) > 1 else "")
        calls = tuple(call for to in rule.to for call in _calls(to))
        yield Rule(name, deny, tuple(_clients(key[0], rule.from_, trust_domain)), calls)


def _clients(namespace: str, who: list[_From], trust_domain: str) -> list[Client]:
    """None for anyone."""
    if not who:
        raise ValueError("an empty from: for everybody say anyone: true")
    found = [_client(namespace, one, trust_domain) for one in who]
    return [] if None in found else [one for one in found if one]


def _client(namespace: str, one: _From, trust_domain: str) -> Client | None:
    given = [name for name in one.__struct_fields__ if getattr(one, name) is not None]
    if len(given) != 1:
        raise ValueError(f"an item of from has {len(given)} fields: exactly one says who")
    if one.service_account:
        account = one.service_account
        return Client(identity=spiffe_id(trust_domain, account.namespace or namespace, account.name))
    if one.identity is not None:
        return Client(identity=_text(one.identity, "identity"))
    if one.namespace is not None:
        return Client(namespace=_text(one.namespace, "namespace"))
    if one.cidr is not None:
        return Client(network=_network(one.cidr))
    return Client(authenticated=True) if one.authenticated else None


def _text(value: str, name: str) -> str:
    if not value:
        raise ValueError(f"{name} is empty")
    return value


def _network(cidr: str, ports: tuple[int, ...] = ()) -> Network:
    network = ipaddress.ip_network(cidr)
    return Network(network.network_address.packed, network.prefixlen, ports)


def _calls(to: _To) -> Iterator[Call]:
    if to.grpc and (to.methods or to.paths or to.path_prefixes):
        raise ValueError("an item of to has grpc beside methods or paths: make it two")
    if not (to.grpc or to.methods or to.paths or to.path_prefixes):
        raise ValueError("an empty item of to: leave out to for every request")
    for one in to.grpc:
        name = f"/{_text(one.service, 'grpc.service')}"
        yield Call(kind=Path.EXACT, path=f"{name}/{one.method}") if one.method else Call(kind=Path.PREFIX, path=name)
    paths = [_path(path) for path in to.paths] + [
        (Path.PREFIX, _plain(path).rstrip("/") or "/") for path in to.path_prefixes
    ]
    if not to.grpc:
        for method in to.methods or [""]:
            for kind, path in paths or [(Path.ANY, "")]:
                yield Call(method, kind, path)


def _path(text: str) -> tuple[Path, str]:
    """A path as it is, or a template of one."""
    if "{" not in text and "}" not in text:
        return Path.EXACT, _plain(text)
    path_regex(text)
    return Path.TEMPLATE, _plain(_PARAMETER.sub("{}", text))


def _plain(text: str) -> str:
    normal = plain_path(text)
    if not text.startswith("/") or normal is None:
        raise ValueError(f"path {text!r} does not begin with / or can be read in two ways")
    return normal


def _limits(key: Key, rules: tuple[Rule, ...], limit: _RateLimit) -> Iterator[Limit]:
    """One for each rule; without rules, one for all calls."""
    for rule in rules or (Rule("/".join(key), False, (), ()),):
        yield Limit(rule.name, rule.clients, rule.calls, limit.requests_per_second, limit.burst, limit.per == "client")


def _egress(key: Key, spec: _Egress, *, audit: bool) -> Egress:
    hosts, networks = [], []
    for one in spec.allow:
        if (one.host is None) == (one.cidr is None):
            raise ValueError("an item of egress.allow has host or cidr")
        if one.host is not None and (one.ports or not _HOST.fullmatch(one.host)):
            raise ValueError(f"host {one.host!r} is no lower-case DNS name without port")
        if one.host is not None:
            hosts.append(one.host)
        if one.cidr is not None:
            networks.append(_network(one.cidr, tuple(one.ports)))
    return Egress(f"policy {'/'.join(key)}", tuple(hosts), tuple(networks), audit)
