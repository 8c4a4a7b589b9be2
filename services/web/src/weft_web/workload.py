"""Everything about one object: its traffic, pods, neighbours, routes and identities."""

import asyncio
from dataclasses import replace

from weft_kube.names import PROXY_VERSION, spiffe_id
from weft_kube.objects import Pod
from weft_kube.workloads import parse_kind

from weft_web import promql
from weft_web.balancing import Leavers, balancers, leavers
from weft_web.catalog import Catalog, ready, restarts
from weft_web.edges import edges
from weft_web.faults import Fault, bad_parameter
from weft_web.model import PodDetail, Row, Workload
from weft_web.prometheus import Prometheus, known
from weft_web.question import Peer, Question
from weft_web.routes import routes
from weft_web.stat import stat
from weft_web.table import group


async def workload(question: Question, catalog: Catalog, prometheus: Prometheus, trust_domain: str) -> Workload:
    """One object of any kind; Fault 404 when it is not there."""
    kind, namespace, name = question.kind.name, question.namespace, question.name
    if not namespace or not name:
        raise bad_parameter("name", "goes with one namespace", "for example namespace=shop&kind=deployment&name=web")
    owned = replace(question, kind=parse_kind("pod"), name="", of=Peer(namespace, kind, name))
    own, parts, links, paths, beside = await asyncio.gather(
        stat(question, catalog, prometheus),
        stat(owned, catalog, prometheus),
        edges(question, catalog, prometheus, trust_domain),
        routes(question, prometheus),
        asyncio.gather(
            known(balancers(question, catalog, prometheus), []),
            known(leavers(question, catalog, prometheus), Leavers()),
            known(_expiry(question, prometheus), {}),
        ),
    )
    (shares, shares_why), (leaving, leaving_why), (expiry, expiry_why) = beside
    if not own.rows:
        raise Fault(404, "not_found", own.warnings[-1], "it may have been deleted; its namespace lists what there is")
    pods = {pod.metadata.name: pod for pod in catalog.pods(kind, namespace, name)}
    details = [_detail(pods[row.name], row, expiry, leaving, catalog) for row in parts.rows if row.name in pods]
    accounts = sorted({pod.spec.service_account_name for pod in pods.values()})
    ids = [spiffe_id(trust_domain, namespace, account) for account in accounts]
    answered = (*own.warnings, *parts.warnings, *links.warnings, *paths.warnings)
    warnings = dict.fromkeys((*answered, *shares_why, *leaving_why, *expiry_why))
    return Workload(question.window, own.rows[0], details, links.rows, paths.rows, shares, ids, list(warnings))


async def _expiry(question: Question, prometheus: Prometheus) -> dict[tuple[str, ...], float]:
    expression = promql.newest(promql.EXPIRY, question, "min", ("namespace", "pod"), " > 0")
    return group(await prometheus.query(expression), ("namespace", "pod"))


def _detail(pod: Pod, row: Row, expiry: dict[tuple[str, ...], float], leaving: Leavers, catalog: Catalog) -> PodDetail:
    meta = pod.metadata
    version = meta.labels.get(PROXY_VERSION, "")
    created = meta.creation_timestamp or ""
    return PodDetail(
        row,
        ready=ready(pod),
        restarts=restarts(pod),
        node=pod.spec.node_name,
        created=created,
        proxy_version=version,
        expiry_timestamp_seconds=expiry.get(pod.key),
        breaker=leaving.breaker(pod, catalog),
        left_out_by=leaving.by_pod.get(pod.key, []),
    )
