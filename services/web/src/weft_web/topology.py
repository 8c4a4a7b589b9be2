"""A namespace's workloads and what flows between them and their neighbours."""

import asyncio
from dataclasses import replace

from weft_kube.workloads import parse_kind

from weft_web.catalog import Catalog
from weft_web.edges import edges
from weft_web.model import Edge, Ref, Row, Topology
from weft_web.prometheus import Prometheus
from weft_web.promql import WORKLOADS
from weft_web.question import Question
from weft_web.stat import stat


async def topology(question: Question, catalog: Catalog, prometheus: Prometheus, trust_domain: str) -> Topology:
    """Nodes are the namespace's workloads, then those outside it that an edge names."""
    kinds = [replace(question, kind=parse_kind(kind)) for kind in WORKLOADS]
    stats, links = await asyncio.gather(
        asyncio.gather(*(stat(each, catalog, prometheus) for each in kinds)),
        asyncio.gather(*(edges(each, catalog, prometheus, trust_domain) for each in kinds)),
    )
    nodes = [row for answer in stats for row in answer.rows]
    flows = _once([edge for answer in links for edge in answer.rows])
    warnings = list(dict.fromkeys([text for answer in stats for text in answer.warnings]))
    return Topology(question.window, nodes + _neighbours(nodes, flows), flows, warnings)


def _once(found: list[Edge]) -> list[Edge]:
    """An edge between two kinds is found from both."""
    return list({(edge.src, edge.dst, edge.server_id, edge.tls): edge for edge in found}.values())


def _neighbours(nodes: list[Row], flows: list[Edge]) -> list[Row]:
    known = {Ref(row.namespace, row.kind, row.name) for row in nodes}
    others = dict.fromkeys(end for edge in flows for end in (edge.src, edge.dst) if end not in known)
    return [Row(end.namespace, end.kind, end.name, note="outside this namespace's workloads") for end in others]
