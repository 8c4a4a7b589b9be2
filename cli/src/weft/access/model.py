"""Calls that were observed, and workloads that were called. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

PROBE_ROUTE = "[probe]"
"""Requests of the kubelet, which are allowed anyway."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload with proxies, one of its pods, the ports that its containers declare, and its own labels. Of the
    ports those that are `skipped` are reached past its proxies."""

    namespace: str
    kind: str
    name: str
    pod: str
    ports: tuple[int, ...]
    labels: tuple[tuple[str, str], ...]
    skipped: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What metrics and tap call it."""
        return self.kind, self.name


@dataclass(frozen=True, slots=True)
class Call:
    """What somebody called. Metrics know no port, and of requests neither method nor path; tap knows all of it."""

    workload: tuple[str, str]
    client: str
    """A SPIFFE ID; empty for who has none."""
    http: bool
    port: int = 0
    method: str = ""
    path: str = ""
    grpc: bool = False
    ip: str = ""
    """Where it came from, which metrics do not know either."""
    route: str = ""
    """That the proxy gave it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a draft would do to a call that was seen so often; `allowed` is None where it depends on the request, the
    port or the address, and `among` has all rules and defaults that may decide."""

    call: Call
    count: int
    allowed: bool | None
    by: str
    among: tuple[str, ...] = ()
    tapped: tuple[int, int] = (0, 0)
    """Where it depends: how many requests of this client tap saw, and how many of them are allowed."""


def settled(outcomes: list[Outcome]) -> list[Outcome]:
    """What metrics count, each client with what tap saw of it; and of clients whose requests do not all fare alike,
    what tap saw denied."""
    seen: defaultdict[tuple[tuple[str, str], str], list[Outcome]] = defaultdict(list)
    for one in outcomes:
        if one.call.method:
            seen[one.call.workload, one.call.client].append(one)
    found: list[Outcome] = []
    for one in outcomes:
        of = seen.pop((one.call.workload, one.call.client), []) if one.call.http and not one.call.method else []
        if one.call.method:
            continue
        allowed = sum(each.count for each in of if each.allowed)
        found.append(replace(one, tapped=(sum(each.count for each in of), allowed)))
        found += [each for each in of if one.allowed is None and not each.allowed]
    return found + [each for of in seen.values() for each in of]


def account(identity: str) -> str:
    """ "shop/cart" for the SPIFFE ID of an account, the ID itself for others, "nobody" for none."""
    namespace, found, name = identity.partition("/ns/")[2].partition("/sa/")
    return f"{namespace}/{name}" if found else identity or "nobody"


def questions(call: Call, workload: Workload) -> list[Json]:
    """The call as destination judges it, once for each port that it may have been for: proxies saw it."""
    base: Json = {"namespace": workload.namespace, "pod": workload.pod, "identity": call.client}
    base |= {"ip": call.ip, "any_address": not call.ip}
    request = {"method": call.method, "path": call.path, "any_request": call.http and not call.method}
    seen = [port for port in workload.ports if port not in workload.skipped]
    return [{**base, "port": port, **request} for port in ([call.port] if call.port else seen)]


def combined(call: Call, count: int, verdicts: list[Json]) -> Outcome:
    """One outcome of those at all ports."""
    outcomes = {verdict["allowed"] for verdict in verdicts}
    against = [verdict["by"] for verdict in verdicts if verdict["allowed"] is not True]
    allowed = outcomes.pop() if len(outcomes) == 1 else None
    among = [by for verdict in verdicts for by in verdict.get("among", [verdict["by"]])]
    return Outcome(call, count, allowed, (against or [verdicts[0]["by"]])[0], tuple(dict.fromkeys(among)))


def merged(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Those that differ in nothing but address and route, as one."""
    counts: Counter[Outcome] = Counter()
    for one in outcomes:
        counts[replace(one, call=replace(one.call, ip="", route=""), count=0)] += one.count
    return [replace(one, count=count) for one, count in counts.items()]
