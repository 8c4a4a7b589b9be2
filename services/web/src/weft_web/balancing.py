"""What the proxies' balancers do with the endpoints of Services: how many are in use, how many left out and why."""

from collections import defaultdict
from collections.abc import Mapping

from weft_web import promql
from weft_web.catalog import Catalog
from weft_web.model import Balancer, Ref
from weft_web.prometheus import Prometheus, PrometheusError
from weft_web.promql import BALANCED, balancing_series
from weft_web.question import Question
from weft_web.stat import ask_all
from weft_web.table import Group, group


async def balancers(question: Question, catalog: Catalog, prometheus: Prometheus) -> list[Balancer]:
    """Of one object as client, or of all clients of one Service; those that leave endpoints out first.

    Nothing when Prometheus does not answer: who shows this shows other numbers, which say so.
    """
    series = balancing_series(question)
    expressions = {
        "endpoints": series.most(promql.ENDPOINTS, "state"),
        "trips": series.grown(promql.TRIPS, question.window, "reason"),
    }
    try:
        answers = await ask_all(prometheus, expressions)
    except PrometheusError:
        return []
    endpoints = _by(group(answers["endpoints"], (*BALANCED, "state")))
    trips = _by(group(answers["trips"], (*BALANCED, "reason")))
    rows = [_balancer(key, states, trips.get(key, {}), catalog) for key, states in endpoints.items()]
    return sorted(rows, key=lambda row: (-row.left_out, -sum(row.trips.values()), row.client.name, row.service.name))


def _by(values: Mapping[Group, float]) -> dict[Group, dict[str, int]]:
    """Numbers by row, then by the last label; nothing of what is 0."""
    rows: dict[Group, dict[str, int]] = defaultdict(dict)
    for (*row, last), value in values.items():
        rows[tuple(row)] |= {last: round(value)} if round(value) else {}
    return rows


def _balancer(key: Group, states: Mapping[str, int], trips: dict[str, int], catalog: Catalog) -> Balancer:
    namespace, kind, name, dst_namespace, service = key
    client = Ref(namespace, kind, catalog.full_name(kind, namespace, name))
    to = Ref(dst_namespace, "service", service)
    return Balancer(client, to, states.get("closed", 0), states.get("open", 0), trips)
