"""Who talks with whom, by which identity, and what protects it.

Clients in the mesh tell of what they send. What comes from elsewhere only the servers' proxies see.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from weft_kube.names import spiffe_id
from weft_kube.objects import Pod
from weft_kube.workloads import owners

from weft_web import notes, promql
from weft_web.catalog import Catalog
from weft_web.model import Edge, Edges, Ref
from weft_web.prometheus import Prometheus, PrometheusError
from weft_web.promql import Series, edge_series, plain_series
from weft_web.question import Question
from weft_web.stat import ask_all
from weft_web.table import Group, Outcomes, Sample, group, outcomes

OUTSIDE = Ref("", "", "")


async def edges(
    question: Question, catalog: Catalog, prometheus: Prometheus, trust_domain: str, kinds: tuple[str, ...] = ()
) -> Edges:
    """Edges one of whose ends is of the question's kind, or of these kinds of workloads, and in its namespace.

    Busiest first.
    """
    kinds = kinds or (question.kind.name,)
    try:
        sent, plain = await asyncio.gather(
            _flows(question, edge_series(question), _sent, prometheus),
            _flows(question, plain_series(question), _received, prometheus),
        )
    except PrometheusError as error:
        return Edges(question.window, [], [str(error)])
    rows = [_edge(_full(key, catalog), *found, question.window) for key, found in (sent | plain).items()]
    touching = [row for row in rows if _touches(row, question, kinds)]
    for row in touching:
        if row.tls == "true":
            row.client_id = _identity(catalog.pods(row.src.kind, row.src.namespace, row.src.name), trust_domain)
    touching.sort(key=lambda row: (-(row.rps or 0), row.src.name, row.dst.name))
    return Edges(question.window, touching, _elsewhere(question, catalog, kinds))


def _elsewhere(question: Question, catalog: Catalog, kinds: tuple[str, ...]) -> list[str]:
    """That calls of ReplicaSets and Jobs are not known: metrics know the workload, whichever of them it has now."""
    kind = question.kind.name
    if kind not in ("replicaset", "job") or kinds != (kind,):
        return []
    named = [obj for obj in catalog.of(kind, question.namespace) if question.name in ("", obj.metadata.name)]
    workloads = {owners(pod.metadata)[-1] for obj in named for pod in catalog.pods(kind, *obj.key)}
    return notes.counted_elsewhere(kind, sorted(workloads))


_Key = tuple[Ref, Ref, str, str]
"""Source, destination, the server's identity, tls."""

_Ends = Callable[[Question, Group], _Key]


async def _flows(
    question: Question, series: list[Series], ends: _Ends, prometheus: Prometheus
) -> dict[_Key, tuple[Outcomes, float]]:
    """Requests and open connections by edge; what sent nothing in the window and holds no connection is no edge."""
    if not series:
        return {}
    by = series[0].by
    answers = await asyncio.gather(*(_asked(one, question.window, ends, prometheus) for one in series))
    # What several of them tell has the same labels in each, and so counts once.
    told = {name: [sample for answer in answers for sample in answer[name]] for name in answers[0]}
    lately = {ends(question, key) for key, number in group(told.get("tcp_opened", []), by).items() if number}
    counts: dict[_Key, Outcomes] = defaultdict(Outcomes)
    for group_key, found in outcomes(told["grown"], by).items():
        counted = counts[ends(question, group_key)].counts
        for result, value in found.counts.items():
            counted[result] = counted.get(result, 0.0) + value
    tcp: dict[_Key, float] = defaultdict(float)
    for group_key, open_now in group(told["tcp_open"], by).items():
        tcp[ends(question, group_key)] += open_now
    both = {key: (counts.get(key, Outcomes()), tcp.get(key, 0.0)) for key in dict.fromkeys((*counts, *tcp))}
    return {key: flow for key, flow in both.items() if sum(flow[0].counts.values()) or flow[1] or key in lately}


async def _asked(series: Series, window: int, ends: _Ends, prometheus: Prometheus) -> dict[str, list[Sample]]:
    expressions = {
        "grown": series.grown(promql.REQUESTS, window, "result"),
        "tcp_open": series.now(promql.TCP_OPEN),
    }
    if ends is _sent:  # what only comes in and goes, without a request that counts, are the kubelet's probes
        expressions["tcp_opened"] = series.grown(promql.TCP_OPENED, window)
    return await ask_all(prometheus, expressions)


def _sent(question: Question, key: Group) -> _Key:
    *source, dst_namespace, dst_kind, dst_workload, dst_service, identity, tls = key
    src, dst = _scraped(question, source), Ref(dst_namespace, dst_kind, dst_workload)
    if question.kind.name == "service" or (dst_service and not dst_workload):
        dst = Ref(dst_namespace, "service", dst_service)
    if question.kind.name == "namespace":
        dst = Ref(dst_namespace, "namespace", dst_namespace)
    return src, dst, identity, tls


def _received(question: Question, key: Group) -> _Key:
    *server, tls = key
    return OUTSIDE, _scraped(question, server), "", tls


def _scraped(question: Question, labels: list[str]) -> Ref:
    """The object whose proxy was scraped."""
    if question.kind.name == "namespace":
        return Ref(labels[0], "namespace", labels[0])
    return Ref(labels[0], "pod", labels[1]) if question.kind.name == "pod" else Ref(*labels)


def _full(key: _Key, catalog: Catalog) -> _Key:
    """Both ends by their names, not by those cut to fit labels."""
    src, dst, identity, tls = key
    return _named(src, catalog), _named(dst, catalog), identity, tls


def _named(end: Ref, catalog: Catalog) -> Ref:
    name = catalog.full_name(end.kind, end.namespace, end.name)
    return end if name == end.name else Ref(end.namespace, end.kind, name)


def _edge(key: _Key, found: Outcomes, opened: float, window: int) -> Edge:
    src, dst, server_id, tls = key
    rps = found.rps(window) if found.counts else None
    unreached = tls == "no_identity" and not server_id and dst.kind == "service"
    reason = notes.UNREACHED if unreached else notes.no_mtls(tls, inbound=src == OUTSIDE)
    return Edge(src, dst, "", server_id, tls, reason, rps, found.success, round(opened))


def _identity(pods: list[Pod], trust_domain: str) -> str:
    """The one identity of all these pods; empty when they have several."""
    accounts = {(pod.metadata.namespace, pod.spec.service_account_name) for pod in pods}
    return spiffe_id(trust_domain, *accounts.pop()) if len(accounts) == 1 else ""


def _touches(edge: Edge, question: Question, kinds: tuple[str, ...]) -> bool:
    ends = [end for end in (edge.src, edge.dst) if question.namespace in ("", end.namespace) and end.kind in kinds]
    return any(question.name in ("", end.name) for end in ends)
