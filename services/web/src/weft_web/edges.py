"""Who talks with whom, by which identity, and what protects it."""

from collections import defaultdict

from msgspec.structs import replace
from weft_kube.names import spiffe_id
from weft_kube.objects import Pod

from weft_web import promql
from weft_web.catalog import Catalog
from weft_web.model import Edge, Edges, Ref
from weft_web.prometheus import Prometheus, PrometheusError
from weft_web.promql import edge_series
from weft_web.question import Question
from weft_web.stat import ask_all
from weft_web.table import Group, Outcomes, group, outcomes


async def edges(question: Question, catalog: Catalog, prometheus: Prometheus, trust_domain: str) -> Edges:
    """Edges one of whose ends is of the kind and in the namespace asked for, busiest first."""
    series = edge_series(question)
    expressions = {
        "grown": series.grown(promql.REQUESTS, question.window, "result"),
        "tcp_open": series.now(promql.TCP_OPEN),
        "tcp_opened": series.grown(promql.TCP_OPENED, question.window),
    }
    try:
        answers = await ask_all(prometheus, expressions)
    except PrometheusError as error:
        return Edges(question.window, [], [str(error)])
    requests = outcomes(answers["grown"], series.by)
    connections = group(answers["tcp_open"], series.by)
    opened = group(answers["tcp_opened"], series.by)
    merged = _merge(question, requests, connections, opened)
    rows = [_edge(_full(key, catalog), *found, question.window) for key, found in merged.items()]
    touching = [row for row in rows if _touches(row, question)]
    for row in touching:
        if row.tls == "true":
            row.client_id = _identity(catalog.pods(row.src.kind, row.src.namespace, row.src.name), trust_domain)
    return Edges(question.window, sorted(touching, key=lambda row: (-(row.rps or 0), row.src.name, row.dst.name)))


_Key = tuple[Ref, Ref, str, str]
"""Source, destination, the server's identity, tls."""


def _merge(
    question: Question, requests: dict[Group, Outcomes], connections: dict[Group, float], opened: dict[Group, float]
) -> dict[_Key, tuple[Outcomes, float]]:
    """Folds labels that are no part of an edge; what sent nothing in the window and holds no connection is no edge."""
    lately = {_ends(question, key) for key, number in opened.items() if number}
    counts: dict[_Key, Outcomes] = defaultdict(Outcomes)
    tcp: dict[_Key, float] = defaultdict(float)
    for group_key, found in requests.items():
        counted = counts[_ends(question, group_key)].counts
        for result, value in found.counts.items():
            counted[result] = counted.get(result, 0.0) + value
    for group_key, open_now in connections.items():
        tcp[_ends(question, group_key)] += open_now
    keys = dict.fromkeys((*counts, *tcp))
    both = {key: (counts.get(key, Outcomes()), tcp.get(key, 0.0)) for key in keys}
    return {key: ends for key, ends in both.items() if sum(ends[0].counts.values()) or ends[1] or key in lately}


def _ends(question: Question, key: Group) -> _Key:
    *source, dst_namespace, dst_kind, dst_workload, dst_service, identity, tls = key
    namespace, kind, name = source if len(source) == 3 else (source[0], "pod", source[1])
    src, dst = Ref(namespace, kind, name), Ref(dst_namespace, dst_kind, dst_workload)
    if question.kind.name == "service" or (dst_service and not dst_workload):
        dst = Ref(dst_namespace, "service", dst_service)
    if question.kind.name == "namespace":
        src, dst = Ref(namespace, "namespace", namespace), Ref(dst_namespace, "namespace", dst_namespace)
    return src, dst, identity, tls


def _full(key: _Key, catalog: Catalog) -> _Key:
    """Both ends by their names, not by those cut to fit labels."""
    src, dst = (replace(end, name=catalog.full_name(end.kind, end.namespace, end.name)) for end in key[:2])
    return src, dst, *key[2:]


def _edge(key: _Key, found: Outcomes, opened: float, window: int) -> Edge:
    src, dst, server_id, tls = key
    rps = found.rps(window) if found.counts else None
    return Edge(src, dst, "", server_id, tls, rps, found.success, round(opened))


def _identity(pods: list[Pod], trust_domain: str) -> str:
    """The one identity of all these pods; empty when they have several."""
    accounts = {(pod.metadata.namespace, pod.spec.service_account_name) for pod in pods}
    return spiffe_id(trust_domain, *accounts.pop()) if len(accounts) == 1 else ""


def _touches(edge: Edge, question: Question) -> bool:
    ends = [
        end
        for end in (edge.src, edge.dst)
        if question.namespace in ("", end.namespace) and question.kind.name == end.kind
    ]
    return any(question.name in ("", end.name) for end in ends)
