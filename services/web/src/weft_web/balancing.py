"""What the proxies' balancers do with the endpoints of Services: how many are in use, which are left out and why."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from weft_kube.objects import Pod

from weft_web import promql
from weft_web.catalog import Catalog, ready, serving
from weft_web.model import Balancer, Ref
from weft_web.prometheus import Prometheus
from weft_web.promql import BALANCED, balancing_series, leavers_series
from weft_web.question import Question
from weft_web.stat import ask_all
from weft_web.table import Group, Sample, group

NAMED = 16
"""So many endpoints that it leaves out a proxy names, of each Service."""


async def balancers(question: Question, catalog: Catalog, prometheus: Prometheus) -> list[Balancer]:
    """Of one object as client, or of all clients of one Service; those that leave endpoints out first."""
    series = balancing_series(question)
    expressions = {
        "endpoints": series.most(promql.ENDPOINTS, "state"),
        "trips": series.grown(promql.TRIPS, question.window, "reason"),
        "left_out": series.most(promql.LEFT_OUT, "endpoint"),
    }
    answers = await ask_all(prometheus, expressions)
    endpoints = _by(group(answers["endpoints"], (*BALANCED, "state")))
    trips = _by(group(answers["trips"], (*BALANCED, "reason")))
    names: dict[Group, list[str]] = defaultdict(list)
    for row, address, pod in _left_out(answers["left_out"], catalog):
        names[row].append(pod.metadata.name if pod else address)
    rows = [_balancer(key, states, trips.get(key, {}), names[key], catalog) for key, states in endpoints.items()]
    return sorted(rows, key=lambda row: (-row.left_out, -sum(row.trips.values()), row.client.name, row.service.name))


def _by(values: Mapping[Group, float]) -> dict[Group, dict[str, int]]:
    """Numbers by row, then by the last label; nothing of what is 0."""
    rows: dict[Group, dict[str, int]] = defaultdict(dict)
    for (*row, last), value in values.items():
        rows[tuple(row)] |= {last: round(value)} if round(value) else {}
    return rows


def _balancer(
    key: Group, states: Mapping[str, int], trips: dict[str, int], left_out: list[str], catalog: Catalog
) -> Balancer:
    to = Ref(key[3], "service", key[4])
    return Balancer(_client(key, catalog), to, states.get("closed", 0), states.get("open", 0), trips, sorted(left_out))


def _client(key: Group, catalog: Catalog) -> Ref:
    namespace, kind, name, *_ = key
    return Ref(namespace, kind, catalog.full_name(kind, namespace, name))


@dataclass(frozen=True, slots=True)
class Leavers:
    """What all clients know of the pods of a namespace."""

    by_pod: Mapping[tuple[str, str], list[Ref]] = field(default_factory=dict)
    """Clients that leave a pod out."""
    told: frozenset[tuple[str, str]] = frozenset()
    """Services whose clients name every endpoint that they leave out."""

    def breaker(self, pod: Pod, catalog: Catalog) -> str | None:
        """Of a pod; None where no client has one, as far as is known."""
        if self.by_pod.get(pod.key):
            return "open"
        used = ready(pod) and not self.told.isdisjoint(serving(catalog, pod))
        return "closed" if used else None


async def leavers(question: Question, catalog: Catalog, prometheus: Prometheus) -> Leavers:
    """Clients that leave pods of an object's namespace out."""
    series = leavers_series(question)
    expressions = {
        "endpoints": series.most(promql.ENDPOINTS, "state"),
        "left_out": series.most(promql.LEFT_OUT, "endpoint"),
    }
    answers = await ask_all(prometheus, expressions)
    found: dict[tuple[str, str], dict[Ref, None]] = defaultdict(dict)
    for row, _, pod in _left_out(answers["left_out"], catalog):
        if pod:
            found[pod.key][_client(row, catalog)] = None
    return Leavers({key: list(clients) for key, clients in found.items()}, _told(answers["endpoints"]))


def _told(samples: list[Sample]) -> frozenset[tuple[str, str]]:
    services: dict[tuple[str, str], float] = defaultdict(float)
    for (_, _, _, namespace, name), states in _by(group(samples, (*BALANCED, "state"))).items():
        services[namespace, name] = max(services[namespace, name], states.get("open", 0))
    return frozenset(service for service, most in services.items() if most <= NAMED)


def _left_out(samples: list[Sample], catalog: Catalog) -> Iterator[tuple[Group, str, Pod | None]]:
    """Row, address and pod of each endpoint that is left out; there are few at most times, and none as a rule."""
    if not samples:
        return
    pods = {ip.ip: pod for pod in catalog.pod_store.objects.values() for ip in pod.status.pod_ips}
    for *row, address in group(samples, (*BALANCED, "endpoint")):
        yield tuple(row), address, pods.get(address.rpartition(":")[0].strip("[]"))
