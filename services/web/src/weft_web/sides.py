"""Requests from either side: what objects receive, by route and client; what they send, by route and backend."""

from collections.abc import Mapping

from weft_web import promql
from weft_web.catalog import Catalog
from weft_web.faults import bad_parameter
from weft_web.model import Inbound, InboundRow, Outbound, OutboundRow, Ref
from weft_web.prometheus import Prometheus, PrometheusError
from weft_web.promql import Series, equals, received_series, retry_series, sent_series
from weft_web.question import Question
from weft_web.stat import ask_all
from weft_web.table import Group, Outcomes, Sample, group, latencies, outcomes

TIMED_OUT = {"late": equals("status", "504"), "late_grpc": equals("grpc_status", "4")}
"""What a proxy answers when a route's time is over, or a server itself: 504, or gRPC DEADLINE_EXCEEDED."""


async def inbound(question: Question, catalog: Catalog, prometheus: Prometheus) -> Inbound:
    """Rows that had requests, busiest first."""
    series, window = received_series(_served(question)), question.window
    try:
        answers = await ask_all(prometheus, _requests(series, window))
    except PrometheusError as error:
        return Inbound(window, [], [str(error)])
    latency = latencies(answers["latency"], series.by)
    rows = []
    for key, found in _busy(answers["grown"], series):
        *own, route, identity, tls = key
        row = InboundRow(
            dst=_object(question, own, catalog),
            route=route,
            client_id=identity,
            tls=tls,
            success=found.success,
            rps=found.rps(window),
            latency_seconds=latency.get(key),
            denied_rps=found.denied_rps(window),
        )
        rows.append(row)
    return Inbound(window, rows)


async def outbound(question: Question, catalog: Catalog, prometheus: Prometheus) -> Outbound:
    """Rows that had requests, busiest first; retries and timeouts are those of the client's proxy."""
    series, window = sent_series(_served(question)), question.window
    retried = retry_series(_served(question))
    expressions = {
        **_requests(series, window),
        "retries": retried.grown(promql.RETRIES, window),
        **{name: series.only(matcher).grown(promql.REQUESTS, window) for name, matcher in TIMED_OUT.items()},
    }
    try:
        answers = await ask_all(prometheus, expressions)
    except PrometheusError as error:
        return Outbound(window, [], [str(error)])
    latency = latencies(answers["latency"], series.by)
    retries = group(answers["retries"], retried.by)
    late = [group(answers[name], series.by) for name in TIMED_OUT]
    rows = []
    for key, counted in _busy(answers["grown"], series):
        *own, space, service, route, kind, name = key
        row = OutboundRow(
            src=_object(question, own, catalog),
            service=Ref(space if service else "", "service" if service else "", service),
            route=route,
            backend=Ref(space if name else "", kind, catalog.full_name(kind, space, name)),
            success=counted.success,
            rps=counted.rps(window),
            latency_seconds=latency.get(key),
            retries_per_second=retries.get((*own, space, service, route), 0.0) / window,
            timeouts_per_second=sum(found.get(key, 0.0) for found in late) / window,
        )
        rows.append(row)
    return Outbound(window, rows)


def _served(question: Question) -> Question:
    """The question, if proxies of its own can answer it."""
    if question.kind.name == "service":
        raise bad_parameter("kind", "a Service has no proxy", "ask for the workload behind it, or its clients")
    return question


def _requests(series: Series, window: int) -> Mapping[str, str]:
    return {
        "grown": series.grown(promql.REQUESTS, window, "result"),
        "latency": series.grown(promql.LATENCY, window, "le"),
    }


def _busy(samples: list[Sample], series: Series) -> list[tuple[Group, Outcomes]]:
    found = [(key, row) for key, row in outcomes(samples, series.by).items() if sum(row.counts.values())]
    return sorted(found, key=lambda pair: (-sum(pair[1].counts.values()), pair[0]))


def _object(question: Question, labels: list[str], catalog: Catalog) -> Ref:
    """The object whose proxies told."""
    namespace, name = labels[0], labels[-1]
    kind = labels[1] if len(labels) == 3 else question.kind.name
    return Ref(namespace, kind, catalog.full_name(kind, namespace, name))
