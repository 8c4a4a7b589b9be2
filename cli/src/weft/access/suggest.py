"""The least policies that allow what is known of what was observed, as YAML, with the calls behind each line. Pure."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from weft_kube.paths import path_regex, plain_path

from weft.access.model import Call, account
from weft.access.routes import Condition
from weft.profiles.learn import Learner

_WORD = re.compile(r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z/_][A-Za-z0-9/._-]*", re.IGNORECASE)
_GRPC = re.compile(r"/([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)/([A-Za-z_]\w*)", re.ASCII)
MAX_TEMPLATES = 100
"""Paths of one client that are told apart."""


@dataclass
class _Client:
    """What one client called, as metrics count it (requests by route) and as tap saw it."""

    requests: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    seen: Counter[Call] = field(default_factory=Counter)

    @property
    def comment(self) -> str:
        counts = (("requests", self.requests.total()), ("connections", self.connections), ("tapped", self.seen.total()))
        return ", ".join(f"{number:,} {name}" for name, number in counts if number)


def policy(
    target: tuple[str, str, Mapping[str, str]],
    counted: Mapping[Call, int],
    tapped: Mapping[Call, int],
    routes: Mapping[str, Condition],
) -> str:
    """A policy in audit for the pods of this namespace, name and labels, that lets in who called them."""
    namespace, name, labels = target
    clients = _clients(counted, tapped)
    known = {identity: one for identity, one in clients.items() if identity}
    lines = [
        "apiVersion: weft.dev/v1alpha1",
        "kind: AccessPolicy",
        f"metadata: {{name: {_text(name)}, namespace: {_text(namespace)}}}",
        "spec:",
        "  mode: audit                 # enforce, when nothing is told that should be allowed",
        "  target:",
        f"    workload: {{matchLabels: {_flow(labels)}}}",
        "  rules:",
    ]
    for identity, one in sorted(known.items()):
        lines += _rule(namespace, identity, one, routes)
    if nobody := clients.get(""):
        mark = "# " if known else ""
        lines += [
            f"    # Not in the mesh: {nobody.comment}. Name their network by cidr; anyone is everybody:",
            f"    {mark}- from: [{{anyone: true}}]",
        ]
    return "\n".join(lines) + "\n"


def _clients(counted: Mapping[Call, int], tapped: Mapping[Call, int]) -> dict[str, _Client]:
    clients: dict[str, _Client] = {}
    for call, count in counted.items():
        one = clients.setdefault(call.client, _Client())
        if call.http:
            one.requests[call.route] += count
        else:
            one.connections += count
    for call, count in tapped.items():
        clients.setdefault(call.client, _Client()).seen[call] += count
    return clients


def _rule(namespace: str, identity: str, one: _Client, routes: Mapping[str, Condition]) -> Iterator[str]:
    """Of a client whose requests nobody looked into, or no rule can name, all are let in."""
    yield f"    - from: [{_who(namespace, identity)}]  # {one.comment}"
    named = {name: count for name, count in one.requests.items() if name in routes}
    seen = Counter({call: count for call, count in one.seen.items() if call.route not in named})
    rest = one.requests.total() - sum(named.values())
    if one.connections or not (seen or (named and not rest)):
        return
    grpc = Counter({call: count for call, count in seen.items() if call.grpc and _GRPC.fullmatch(call.path)})
    paths = _learned(seen - grpc)
    if not (named or grpc or paths):
        yield f"      # No rule can name what tap saw, {_example(seen)}: whatever it asks for is let in."
        return
    yield "      to:"
    if rest > seen.total():
        which = "requests of no profile's route" if named else "requests"
        yield f"        # Of {rest:,} {which} tap saw {seen.total():,}: whatever else they asked for would be denied."
    if missed := _missed(seen - grpc, paths):
        why = "rules cannot name such a call, or not so many"
        yield f"        # {missed.total():,} tapped would be denied, {_example(missed)}: {why}."
    for name, count in sorted(named.items()):
        yield from _route(routes[name], f"{count:,} requests of route {_text(name)}")
    yield from _grpc(grpc)
    yield from _paths(paths, seen - grpc - missed)


def _example(calls: Counter[Call]) -> str:
    """The most frequent of them."""
    ((call, _),) = calls.most_common(1)
    return f"as {call.method} {json.dumps(call.path[:80])}"


def _route(condition: Condition, comment: str) -> Iterator[str]:
    methods = [f"methods: [{condition.method}]"] if condition.method else []
    first, *others = [*methods, *([f"paths: [{_text(condition.path)}]"] if condition.path else [])]
    yield f"        - {first}  # {comment}"
    yield from (f"          {line}" for line in others)


def _who(namespace: str, identity: str) -> str:
    space, slash, name = account(identity).partition("/")
    if (identity.startswith("spiffe://") and not slash) or account(identity) == identity:
        return f"{{identity: {_text(identity)}}}"
    elsewhere = f", namespace: {_text(space)}" if space != namespace else ""
    return f"{{serviceAccount: {{name: {_text(name)}{elsewhere}}}}}"


def _grpc(seen: Counter[Call]) -> Iterator[str]:
    methods: Counter[str] = Counter()
    for call, count in seen.items():
        methods[call.path] += count
    for path, count in sorted(methods.items()):
        _, service, method = path.split("/")
        yield f"        - grpc: [{{service: {_text(service)}, method: {_text(method)}}}]  # {count:,} tapped"


def _learned(seen: Counter[Call]) -> dict[str, list[str]]:
    """Templates of the paths that a rule can name, by method."""
    learner, found = Learner(), defaultdict[str, list[str]](list)
    for call, count in seen.items():
        # Admission takes a star at the end for a pattern.
        if plain_path(call.path) and not call.path.endswith(("*", "/...")):
            for _ in range(min(count, 100)):
                learner.add(call.method, call.path)
    for route in learner.routes(MAX_TEMPLATES):
        found[route.method].append(route.path)
    return found


def _missed(seen: Counter[Call], paths: Mapping[str, list[str]]) -> Counter[Call]:
    """What these do not let in; nor does any rule a path with two readings."""
    known = {method: re.compile("|".join(map(path_regex, templates))) for method, templates in paths.items()}

    def covered(call: Call) -> bool:
        expression = known.get(call.method)
        return bool(expression and expression.fullmatch(call.path) and plain_path(call.path))

    return Counter({call: count for call, count in seen.items() if not covered(call)})


def _paths(paths: Mapping[str, list[str]], seen: Counter[Call]) -> Iterator[str]:
    for method, templates in sorted(paths.items()):
        tapped = sum(count for call, count in seen.items() if call.method == method)
        yield f"        - methods: [{method}]  # {tapped:,} tapped"
        yield f"          paths: [{', '.join(map(_text, templates))}]"


def _flow(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_text(name)}: {_text(value)}" for name, value in labels.items()) + "}"


def _text(value: str) -> str:
    """Plain words go without quotes; else YAML takes JSON's strings."""
    return value if _WORD.fullmatch(value) else json.dumps(value)


def documents(policies: Iterable[str], note: str) -> str:
    """One stream of YAML."""
    return f"# {note}\n" + "---\n".join(policies)
