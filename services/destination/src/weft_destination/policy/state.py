"""The policies of a cluster, and what follows from them for a port, worked out once for all pods that are alike."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from weft_destination.policy import table
from weft_destination.policy.model import Access, Base, Default, Egress, Key, Pod, Policy, RouteCalls, Service
from weft_destination.policy.status import Around, Status, decides_all, status

T = TypeVar("T")

CHOICES = {
    "anyone": (Default.ANYONE, False),
    "authenticated": (Default.AUTHENTICATED, False),
    "deny": (Default.DENY, False),
    "audit-authenticated": (Default.AUTHENTICATED, True),
    "audit-deny": (Default.DENY, True),
}
"""Values of the default: what holds, and if it is only told."""

KNOWN = 4096
"""Tables kept of a namespace, by pods that are alike and port."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """What policies of a namespace can name."""

    namespace: str
    services: Callable[[Key], Service | None]
    routes: Callable[[Key, str], RouteCalls]

    def service(self, name: str) -> Service | None:
        """A Service."""
        return self.services((self.namespace, name))

    def route(self, service: str, route: str) -> RouteCalls:
        """The requests of a Service's route."""
        return self.routes((self.namespace, service), route)


class Policies:
    """Everything that was said about access, by namespace."""

    def __init__(
        self,
        services: Callable[[Key], Service | None],
        routes: Callable[[Key, str], RouteCalls],
        default: str = "anyone",
        trust_domain: str = "cluster.local",
    ) -> None:
        self._lookup = (services, routes)
        self._cluster = default
        self._trust_domain = trust_domain
        self._policies: defaultdict[str, dict[Key, Policy]] = defaultdict(dict)
        self._defaults: dict[str, str] = {}
        self._pods: defaultdict[str, Counter[Pod]] = defaultdict(Counter)
        self._accounts: Counter[tuple[str, bool]] = Counter()
        """How many pods run as each, with a proxy or without: "shop/cart"."""
        self._deciders: dict[str, list[Policy]] = {}
        self._restated: set[str] = set()
        self._known: defaultdict[str, dict[tuple[Pod, int], Access | None]] = defaultdict(dict)

    def put(self, policy: Policy) -> None:
        """A policy is new or changed."""
        self._policies[policy.key[0]][policy.key] = policy
        self.forget(policy.key[0])

    def remove(self, key: Key) -> None:
        """A policy is gone."""
        self._policies[key[0]].pop(key, None)
        if not self._policies[key[0]]:
            del self._policies[key[0]]
        self.forget(key[0])

    def set_default(self, namespace: str, value: str) -> None:
        """A namespace's annotation; empty for none."""
        self._defaults.pop(namespace, None)
        if value:
            self._defaults[namespace] = value
        self.forget(namespace)

    def supposing(self, drafts: Iterable[Policy]) -> "Policies":
        """All this, with these policies besides and enforced, or instead of those of their names."""
        supposed = Policies(*self._lookup, self._cluster, self._trust_domain)
        for namespace, default in self._defaults.items():
            supposed.set_default(namespace, default)
        for draft in (*chain(*(found.values() for found in self._policies.values())), *drafts):
            supposed.put(draft)
        return supposed

    def forget(self, namespace: str) -> None:
        """Something changed that tables of the namespace rest on."""
        self._known.pop(namespace, None)
        self._deciders.pop(namespace, None)
        self._restated.add(namespace)

    def pod_changed(self, namespace: str, before: Pod | None, after: Pod | None) -> None:
        """A pod came, went or changed."""
        if before == after:
            return
        if after:
            self._count(namespace, after, 1)
        if before:
            self._count(namespace, before, -1)
        self._restated.add(namespace)

    def _count(self, namespace: str, pod: Pod, number: int) -> None:
        pods, account = self._pods[namespace], (f"{namespace}/{pod.account}", pod.meshed)
        if not self._accounts[account] or self._accounts[account] + number == 0:
            self._restated.update(self._policies)
        _add(pods, pod, number)
        _add(self._accounts, account, number)
        if not pods:
            del self._pods[namespace]

    def take_restated(self) -> set[str]:
        """Namespaces whose policies may have another status since the last call."""
        restated, self._restated = self._restated, set()
        return restated

    def status(self, policy: Policy, services: Collection[str]) -> Status:
        """What status says of a policy; `services` are those of its namespace."""
        namespace = policy.key[0]
        if namespace not in self._deciders:
            self._deciders[namespace] = [one for one in self.of(namespace) if decides_all(one)]
        pods: Mapping[Pod, int] = self._pods.get(namespace, {})
        deciders, accounts = self._deciders[namespace], self._accounts.keys()
        around = Around(pods, deciders, services, accounts, self._trust_domain)
        return status(policy, around, Lookup(namespace, *self._lookup))

    def of(self, namespace: str) -> Iterable[Policy]:
        """The policies of a namespace."""
        return self._policies[namespace].values() if namespace in self._policies else ()

    def access(self, namespace: str, pod: Pod, port: int) -> Access | None:
        """What holds at a port of pods like this; None when anyone may call."""
        base = self.base(namespace, pod)
        if namespace not in self._policies and base.default is Default.ANYONE:
            return None
        known = self._known[namespace]
        if (pod, port) not in known:
            if len(known) >= KNOWN:
                known.clear()
            known[pod, port] = table.access(self.of(namespace), pod, port, base, Lookup(namespace, *self._lookup))
        return known[pod, port]

    def base(self, namespace: str, pod: Pod) -> Base:
        """The pod's own default, else its namespace's, else the cluster's. What is no default counts as none: admission
        told who wrote it."""
        said = (
            (pod.default, f"workload {pod.workload}"),
            (self._defaults.get(namespace, ""), f"namespace {namespace}"),
            (self._cluster, "cluster"),
        )
        return next(Base(*CHOICES[value], name) for value, name in said if value in CHOICES)

    def egress(self, namespace: str) -> Egress | None:
        """What pods of a namespace may call outside the mesh; None for anything."""
        return table.egress(self.of(namespace))

    def names(self, service: Key) -> bool:
        """Does any policy rest on what a Service or its routes say?"""
        return any(policy.target.service == service[1] for policy in self.of(service[0]))


def _add(counts: Counter[T], key: T, number: int) -> None:
    """What is not there takes no room."""
    counts[key] += number
    if not counts[key]:
        del counts[key]
