"""The least policies that allow what was observed, as YAML, with the calls behind each line. Pure."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from weft.access.model import Call, account
from weft.profiles.learn import Learner

_WORD = re.compile(r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z/_][A-Za-z0-9/._-]*", re.IGNORECASE)
MAX_TEMPLATES = 100
"""Paths of one client that are told apart."""


@dataclass
class _Client:
    """What one client called, as metrics count it and as tap saw it."""

    requests: int = 0
    connections: int = 0
    seen: Counter[Call] = field(default_factory=Counter)

    @property
    def comment(self) -> str:
        counts = (("requests", self.requests), ("connections", self.connections), ("tapped", self.seen.total()))
        return ", ".join(f"{number:,} {name}" for name, number in counts if number)


def policy(
    namespace: str, name: str, labels: Mapping[str, str], counted: Mapping[Call, int], tapped: Mapping[Call, int]
) -> str:
    """A policy in audit for the pods with these labels, that lets in who called them."""
    clients = _clients(counted, tapped)
    known = {identity: one for identity, one in clients.items() if identity}
    lines = [
        "apiVersion: weft.dev/v1alpha1",
        "kind: AccessPolicy",
        f"metadata: {{name: {name}, namespace: {namespace}}}",
        "spec:",
        "  mode: audit                 # enforce, when nothing is told that should be allowed",
        "  target:",
        f"    workload: {{matchLabels: {_flow(labels)}}}",
        "  rules:",
    ]
    for identity, one in sorted(known.items()):
        lines += _rule(namespace, identity, one)
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
        one.requests += count if call.http else 0
        one.connections += 0 if call.http else count
    for call, count in tapped.items():
        clients.setdefault(call.client, _Client()).seen[call] += count
    return clients


def _rule(namespace: str, identity: str, one: _Client) -> Iterator[str]:
    yield f"    - from: [{_who(namespace, identity)}]  # {one.comment}"
    if one.seen and not one.connections:
        yield "      to:"
        yield from _grpc(one.seen)
        yield from _paths(one.seen)


def _who(namespace: str, identity: str) -> str:
    space, slash, name = account(identity).partition("/")
    if (identity.startswith("spiffe://") and not slash) or account(identity) == identity:
        return f"{{identity: {_text(identity)}}}"
    elsewhere = f", namespace: {space}" if space != namespace else ""
    return f"{{serviceAccount: {{name: {name}{elsewhere}}}}}"


def _grpc(seen: Counter[Call]) -> Iterator[str]:
    methods: Counter[str] = Counter()
    for call, count in seen.items():
        if call.grpc and call.path.count("/") == 2:
            methods[call.path] += count
    for path, count in sorted(methods.items()):
        _, service, method = path.split("/")
        yield f"        - grpc: [{{service: {_text(service)}, method: {_text(method)}}}]  # {count:,} tapped"


def _paths(seen: Counter[Call]) -> Iterator[str]:
    learner, methods = Learner(), Counter[str]()
    for call, count in seen.items():
        if not (call.grpc and call.path.count("/") == 2):
            methods[call.method] += count
            for _ in range(min(count, 100)):
                learner.add(call.method, call.path)
    routes = learner.routes(MAX_TEMPLATES)
    for method in sorted(methods):
        paths = [route.path for route in routes if route.method == method and route.path]
        yield f"        - methods: [{method}]  # {methods[method]:,} tapped"
        if paths:
            yield f"          paths: [{', '.join(map(_text, paths))}]"


def _flow(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{_text(name)}: {_text(value)}" for name, value in labels.items()) + "}"


def _text(value: str) -> str:
    """Plain words go without quotes; else YAML takes JSON's strings."""
    return value if _WORD.fullmatch(value) else json.dumps(value)


def documents(policies: Iterable[str], note: str) -> str:
    """One stream of YAML."""
    return f"# {note}\n" + "---\n".join(policies)
