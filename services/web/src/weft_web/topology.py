"""A namespace's workloads and what flows between them and their neighbours."""

import asyncio

from weft_web.catalog import Catalog
from weft_web.edges import edges
from weft_web.model import Edge, Ref, Row, Topology
from weft_web.prometheus import Prometheus
from weft_web.promql import WORKLOADS
from weft_web.question import Question, of_kinds
from weft_web.stat import stats


async def topology(question: Question, catalog: Catalog, prometheus: Prometheus, trust_domain: str) -> Topology:
    """Nodes are the namespace's workloads, then those outside it that an edge names."""
    found, flows = await asyncio.gather(
        stats(of_kinds(question, WORKLOADS), catalog, prometheus),
        edges(question, catalog, prometheus, trust_domain, WORKLOADS),
    )
    nodes = found.rows + _neighbours(found.rows, flows.rows)
    warnings = dict.fromkeys((*found.warnings, *flows.warnings))
    return Topology(question.window, nodes, flows.rows, list(warnings))


def _neighbours(nodes: list[Row], flows: list[Edge]) -> list[Row]:
    known = {Ref(row.namespace, row.kind, row.name) for row in nodes}
    others = dict.fromkeys(end for edge in flows for end in (edge.src, edge.dst) if end not in known)
    return [Row(end.namespace, end.kind, end.name, note="outside this namespace's workloads") for end in others]
