"""Rows of traffic: objects from the catalog, numbers from Prometheus, and a note where there are none."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from weft_kube.objects import Object, Pod

from weft_web import notes, promql
from weft_web.catalog import Catalog, meshed, status
from weft_web.heard import unheard
from weft_web.model import Latency, Row, Stat, Totals
from weft_web.prometheus import Prometheus, PrometheusError
from weft_web.promql import peer_series, server_key, stat_key, stat_series, up_series
from weft_web.question import Question
from weft_web.selector import selects
from weft_web.table import Group, Outcomes, Sample, group, latencies, outcomes


@dataclass(slots=True)
class Numbers:
    """All answers of one question, by row."""

    grown: Mapping[Group, Outcomes] = field(default_factory=dict)
    totals: Mapping[Group, Outcomes] = field(default_factory=dict)
    latency: Mapping[Group, Latency] = field(default_factory=dict)
    tcp_open: Mapping[Group, float] = field(default_factory=dict)
    tcp_read: Mapping[Group, float] = field(default_factory=dict)
    tcp_written: Mapping[Group, float] = field(default_factory=dict)
    up: Mapping[Group, float] = field(default_factory=dict)
    """Share of a row's proxies that were scraped."""
    peer_up: float | None = None
    """The same of the peer whose proxies have counted, if one was asked for."""
    denied: Mapping[Group, Mapping[str, float]] = field(default_factory=dict)
    """Calls that policies denied or, in audit, would have, by mode."""


async def ask_all(prometheus: Prometheus, expressions: Mapping[str, str]) -> dict[str, list[Sample]]:
    """All answers, asked at the same time. Raises the first PrometheusError when all have ended."""
    answers = await asyncio.gather(*map(prometheus.query, expressions.values()), return_exceptions=True)
    samples = {}
    for name, answer in zip(expressions, answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        samples[name] = answer
    return samples


async def stats(
    questions: Sequence[Question], catalog: Catalog, prometheus: Prometheus, *, with_latency: bool = True
) -> Stat:
    """Answers questions that differ in kinds only: those that are about the same series share the numbers.

    Latencies are three quarters of all series; who does not show them does without.
    """
    distinct = {stat_series(question): question for question in questions}
    asked = (_known_numbers(question, catalog, prometheus, with_latency) for question in distinct.values())
    found = await asyncio.gather(*asked)
    numbers = dict(zip(distinct, found, strict=True))
    answers = [_answer(question, catalog, *numbers[stat_series(question)]) for question in questions]
    rows = [row for answer in answers for row in answer.rows]
    warnings = dict.fromkeys(text for answer in answers for text in answer.warnings)
    return Stat(questions[0].window, rows, list(warnings))


async def stat(question: Question, catalog: Catalog, prometheus: Prometheus) -> Stat:
    """Answers a question; without Prometheus the rows are there all the same, and a warning says so."""
    return await stats([question], catalog, prometheus)


async def _known_numbers(
    question: Question, catalog: Catalog, prometheus: Prometheus, with_latency: bool
) -> tuple[Numbers | None, str]:
    """The numbers, or why there are none."""
    if why := _no_peer(question, catalog):
        return None, why
    if (question.to or question.kind.name == "service") and (unknown := await unheard(question, catalog, prometheus)):
        return None, unknown[0]
    try:
        numbers = await _numbers(question, prometheus, with_latency)
    except PrometheusError as error:
        return None, str(error)
    if question.from_ and not numbers.peer_up:
        return None, notes.unscraped(question.from_, numbers.peer_up)
    return numbers, ""


def _no_peer(question: Question, catalog: Catalog) -> str:
    """Why nobody can know of traffic with the peer that was asked for; empty if somebody may."""
    peer = question.from_ or question.to
    if peer is None or not peer.name:
        return ""
    if all(obj.metadata.name != peer.name for obj in catalog.of(peer.kind, peer.namespace)):
        return f"there is no {peer.kind} {peer.name!r} in {_where(peer.namespace)}"
    spaces = [peer.namespace] if peer.namespace else [obj.metadata.name for obj in catalog.of("namespace")]
    pods = [pod for space in spaces for pod in catalog.pods(peer.kind, space, peer.name)]
    return notes.silent(peer, meshed(pods)) if question.from_ else ""


def _answer(question: Question, catalog: Catalog, numbers: Numbers | None, failure: str) -> Stat:
    warnings = [failure] if failure else []
    objects = _objects(question, catalog)
    if question.name and not objects:
        warnings.append(f"there is no {question.kind.name} {question.name!r} in {_where(question.namespace)}")
    rows = [_row(question, obj, catalog, numbers, warnings) for obj in objects]
    return Stat(question.window, _shown(question, rows), warnings)


async def _numbers(question: Question, prometheus: Prometheus, with_latency: bool) -> Numbers:
    series, window = stat_series(question), question.window
    expressions = {
        "grown": series.grown(promql.REQUESTS, window, "result"),
        "totals": series.now(promql.REQUESTS, "result"),
        "tcp_open": series.now(promql.TCP_OPEN),
        "tcp_read": series.grown(promql.TCP_READ, window),
        "tcp_written": series.grown(promql.TCP_WRITTEN, window),
    }
    if with_latency:
        expressions["latency"] = series.grown(promql.LATENCY, window, "le")
    if question.from_:
        expressions["peer_up"] = peer_series(question.from_).up()
    if question.kind.name != "service":
        expressions["up"] = up_series(question).up()
        expressions["denied"] = up_series(question).grown(promql.DENIED, window, "mode")
    answers = await ask_all(prometheus, expressions)
    labels = stat_key(question).labels
    plain = {name: group(answers[name], labels) for name in ("tcp_open", "tcp_read", "tcp_written")}
    return Numbers(
        grown=outcomes(answers["grown"], labels),
        totals=outcomes(answers["totals"], labels),
        latency=latencies(answers.get("latency", []), labels),
        peer_up=next((sample.value for sample in answers.get("peer_up", [])), None),
        up=group(answers.get("up", []), server_key(question.kind.name).labels),
        denied=_by_mode(group(answers.get("denied", []), (*server_key(question.kind.name).labels, "mode"))),
        **plain,
    )


def _by_mode(counts: Mapping[Group, float]) -> Mapping[Group, Mapping[str, float]]:
    found: dict[Group, dict[str, float]] = defaultdict(dict)
    for (*row, mode), count in counts.items():
        found[tuple(row)][mode] = count
    return found


def _objects(question: Question, catalog: Catalog) -> list[Object]:
    found: Sequence[Object] = catalog.of(question.kind.name, question.namespace)
    if question.of:
        found = catalog.pods(question.of.kind, question.of.namespace, question.of.name)
    return [
        obj
        for obj in found
        if question.name in ("", obj.metadata.name) and selects(question.selector, obj.metadata.labels)
    ]


def _row(question: Question, obj: Object, catalog: Catalog, numbers: Numbers | None, warnings: Iterable[str]) -> Row:
    kind, name = question.kind.name, obj.metadata.name
    namespace = obj.metadata.namespace or name
    row = Row(namespace, kind, name)
    if kind != "service":
        row.meshed = meshed(catalog.pods(kind, namespace, name))
    if isinstance(obj, Pod):
        row.status = status(obj)
    if numbers is None:
        row.note = next(iter(warnings))
        return row
    fill(row, numbers, question.window, client_side=bool(question.to or question.from_ or kind == "service"))
    return row


def fill(row: Row, numbers: Numbers, window: int, *, client_side: bool) -> None:
    """Sets a row's numbers, or the note that says why there are none; and of calls that policies deny.

    Where a proxy was scraped, no series means zero; where none was, the number is unknown.
    """
    key = promql.row(row.kind, row.namespace, row.name)
    scraped = numbers.up.get(key)
    known = bool(scraped or numbers.peer_up) or key in numbers.totals or key in numbers.tcp_open
    if known:
        grown = numbers.grown.get(key, Outcomes())
        row.success, row.rps = grown.success, grown.rps(window)
        row.latency_seconds = numbers.latency.get(key)
        row.totals = numbers.totals.get(key, Outcomes()).totals()
        row.tcp_open_connections = round(numbers.tcp_open.get(key, 0))
        row.tcp_read_bytes_per_second = numbers.tcp_read.get(key, 0.0) / window
        row.tcp_written_bytes_per_second = numbers.tcp_written.get(key, 0.0) / window
    partly = notes.partly(scraped if numbers.peer_up is None else numbers.peer_up)
    told = [partly, notes.denied(numbers.denied.get(key, {}), window)]
    if not any(told) and not row.rps:
        told = [_note(row, window, scraped, client_side=client_side, heard=bool(numbers.peer_up))]
    row.note = "; ".join(filter(None, told))


def _note(row: Row, window: int, scraped: float | None, *, client_side: bool, heard: bool) -> str:
    """Why there are no requests. `heard`: the peer that was asked for would have told."""
    if row.tcp_read_bytes_per_second or row.tcp_written_bytes_per_second:
        return f"TCP only: no HTTP requests in the last {window} s"
    if row.kind == "service" and not heard:
        return notes.service(window)
    if heard or (client_side and row.meshed and row.meshed.pods):
        return notes.peer(window)
    return notes.workload(row, window, None if scraped is None else bool(scraped))


def _shown(question: Question, rows: list[Row]) -> list[Row]:
    """Of many: with a peer, only those that have traffic with it; of ReplicaSets and Jobs, not those of the past."""
    if question.name:
        return rows
    if question.to or question.from_:
        return [row for row in rows if row.rps or row.tcp_open_connections or (row.totals and row.totals != Totals())]
    if question.kind.name in ("replicaset", "job"):
        return [row for row in rows if row.meshed and row.meshed.running]
    return rows


def _where(namespace: str) -> str:
    return f"namespace {namespace}" if namespace else "any namespace"
