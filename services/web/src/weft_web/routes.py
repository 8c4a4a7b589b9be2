"""Requests by route and Service, as the clients' proxies saw them."""

from weft_web import promql
from weft_web.model import Ref, Route, Routes
from weft_web.prometheus import Prometheus, PrometheusError
from weft_web.promql import route_series
from weft_web.question import Question
from weft_web.stat import ask_all
from weft_web.table import latencies, outcomes


async def routes(question: Question, prometheus: Prometheus) -> Routes:
    """Routes, busiest first; what no route names comes as an empty one."""
    series, window = route_series(question), question.window
    expressions = {
        "grown": series.grown(promql.REQUESTS, window, "result"),
        "latency": series.grown(promql.LATENCY, window, "le"),
    }
    try:
        answers = await ask_all(prometheus, expressions)
    except PrometheusError as error:
        return Routes(window, [], [str(error)])
    requests = outcomes(answers["grown"], series.by)
    latency = latencies(answers["latency"], series.by)
    rows = [
        Route(route, Ref(namespace, "service", service), found.success, found.rps(window), latency.get(key))
        for key, found in requests.items()
        for route, namespace, service in [key]
        if sum(found.counts.values())
    ]
    return Routes(window, sorted(rows, key=lambda row: (-(row.rps or 0), row.service.name, row.route)))
