"""An object's golden signals over time, with its rollouts as markers."""

import asyncio
import math
import time

from weft_web import promql
from weft_web.catalog import Catalog, Rollout, rolled_back, rolled_out, rollouts
from weft_web.faults import bad_parameter
from weft_web.model import History, Marker
from weft_web.prometheus import SCRAPE_SECONDS, Prometheus, PrometheusError
from weft_web.promql import stat_series
from weft_web.question import Question
from weft_web.table import QUANTILES, Span

POINTS = 240


async def history(question: Question, catalog: Catalog, prometheus: Prometheus) -> History:
    """The last `window`, in at most POINTS steps; what was not scraped is null."""
    if not question.namespace or not question.name:
        raise bad_parameter("name", "goes with one namespace", "for example namespace=shop&kind=deployment&name=web")
    step = max(int(SCRAPE_SECONDS), question.window // POINTS)
    end = int(time.time()) // step * step
    start = end - question.window // step * step
    times = list(range(start, end + 1, step))
    marks = _markers(question, catalog, start)
    try:
        spans = await asyncio.gather(*(prometheus.range(asked, start, end, step) for asked in _asked(question, step)))
    except PrometheusError as error:
        unknown: _Line = [None] * len(times)
        return History(step, times, unknown, unknown, unknown, unknown, unknown, marks, [str(error)])
    requests, *latency = spans
    p50, p95, p99 = (_values(found, times) for found in latency)
    return History(step, times, *_rates(requests, times), p50, p95, p99, marks)


_Line = list[float | None]


def _asked(question: Question, step: int) -> list[str]:
    series, over = stat_series(question), max(4 * int(SCRAPE_SECONDS), step)
    buckets = series.rate(promql.LATENCY, over, "le")
    return [
        series.rate(promql.REQUESTS, over, "result"),
        *(f"histogram_quantile({share}, {buckets})" for share in QUANTILES),
    ]


def _rates(spans: list[Span], times: list[int]) -> tuple[_Line, _Line]:
    """Share of success, and requests a second, at each time."""
    by_result = {span.labels.result: span.values for span in spans}
    good, bad = by_result.get("success", {}), by_result.get("failure", {})
    known = set().union(*by_result.values())
    success = [good.get(at, 0) / whole if (whole := good.get(at, 0) + bad.get(at, 0)) else None for at in times]
    rps = [sum(values.get(at, 0.0) for values in by_result.values()) if at in known else None for at in times]
    return success, rps


def _values(spans: list[Span], times: list[int]) -> _Line:
    found = spans[0].values if spans else {}
    return [None if (value := found.get(at)) is None or math.isnan(value) else value for at in times]


def _markers(question: Question, catalog: Catalog, start: int) -> list[Marker]:
    found = rollouts(catalog, question.kind.name, question.namespace, question.name)
    marks = [Marker(one.began, f"revision {one.revision}: {one.name}") for one in found]
    if found and rolled_back(found):
        marks[-1:] = _returned(found[-1], rolled_out(catalog, question.namespace, question.name))
    return sorted((one for one in marks if one.timestamp_seconds >= start), key=lambda one: one.timestamp_seconds)


def _returned(current: Rollout, at: float | None) -> list[Marker]:
    """Of a version that came back: when it was made it had another revision."""
    made = Marker(current.began, f"{current.name}, now revision {current.revision}")
    return [made, Marker(at, f"back to {current.name}, as revision {current.revision}")] if at else [made]
