"""Gathers what `problems` judges: traffic, failures, the proxies' own errors, certificates, checks."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping

from weft_web import promql
from weft_web.catalog import Catalog, Rollout, rolled_back, rollouts
from weft_web.check import checks
from weft_web.denials import Denied
from weft_web.edges import edges
from weft_web.mesh import Mesh
from weft_web.model import Checks, Problems, Ref, Row
from weft_web.problems import RECENT_SECONDS, WARNING, Evidence, Failures, ranked
from weft_web.prometheus import Prometheus, known
from weft_web.question import Question, of_kinds
from weft_web.stat import ask_all, stats
from weft_web.table import Sample, group

LIFETIME = "(min(min_over_time(weft_identity_issuance_lifetime_seconds[1d])) or vector(86400))"
"""Of certificates: the shortest of the last day, also while identity is away; where it is not scraped, as the chart has
it by itself. They are renewed after two thirds of it, so one with a quarter left is overdue."""

_OWN = ("namespace", "workload_kind", "workload")


async def problems(question: Question, catalog: Catalog, prometheus: Prometheus, mesh: Mesh) -> Problems:
    """What is wrong in one namespace or all; the mesh's own troubles with all, or with its own namespace."""
    of_mesh = question.namespace in ("", mesh.namespace)
    found, links, looked, (signals, unknown) = await asyncio.gather(
        stats(of_kinds(question, promql.WORKLOADS), catalog, prometheus, with_latency=False),
        edges(question, catalog, prometheus, mesh.trust_domain, promql.WORKLOADS),
        checks(catalog, prometheus, mesh.namespace, mesh.version) if of_mesh else _nothing(),
        known(_signals(question, prometheus), defaultdict(list)),
    )
    rows = found.rows
    evidence = Evidence(
        rows=rows,
        edges=links.rows,
        failures=_failures(signals["failures"]),
        errors=_errors(signals["errors"]),
        denied=_denied(signals["denied"]),
        expiry={Ref(*key): left for key, left in group(signals["expiry"], _OWN).items()},
        disconnected=_disconnected(signals["disconnected"], mesh),
        pods=[pod for pod in catalog.pod_store.objects.values() if question.namespace in ("", pod.metadata.namespace)],
        namespaces=catalog.of("namespace", question.namespace),
        checks=looked.checks,
        now=time.time(),
    )
    evidence.lifetime = next((sample.value for sample in signals["lifetime"]), evidence.lifetime)
    evidence.rollouts = _recent(rows, catalog, evidence.now)
    warnings = dict.fromkeys((*found.warnings, *links.warnings, *unknown))
    return Problems(question.window, ranked(evidence), sum(row.rps is not None for row in rows), list(warnings))


async def _nothing() -> Checks:
    return Checks(ok=True, checks=[])


async def _signals(question: Question, prometheus: Prometheus) -> Mapping[str, list[Sample]]:
    expiry = promql.newest(promql.EXPIRY, question, "min", _OWN, " > 0")
    expressions = {
        "failures": promql.failure_series(question).grown(promql.REQUESTS, question.window),
        "errors": promql.error_series(question).grown(promql.PROXY_ERRORS, question.window),
        "denied": promql.denied_series(question).grown(promql.DENIED, question.window),
        "expiry": f"{expiry} - time() < scalar({LIFETIME}) / 4",
        "lifetime": LIFETIME,
        "disconnected": promql.newest("weft_discovery_connected", question, "count", _OWN, " == 0"),
    }
    return await ask_all(prometheus, expressions)


def _failures(samples: list[Sample]) -> dict[Ref, list[Failures]]:
    found: dict[Ref, list[Failures]] = defaultdict(list)
    for (namespace, kind, name, *labels), count in group(samples, promql.FAILURE_LABELS).items():
        if count:
            found[Ref(namespace, kind, name)].append(Failures(count, *labels))
    return found


def _errors(samples: list[Sample]) -> dict[Ref, dict[str, float]]:
    found: dict[Ref, dict[str, float]] = defaultdict(dict)
    for (namespace, kind, name, code), count in group(samples, promql.ERROR_LABELS).items():
        if round(count):
            found[Ref(namespace, kind, name)][code] = count
    return found


def _denied(samples: list[Sample]) -> dict[Ref, list[Denied]]:
    found: dict[Ref, list[Denied]] = defaultdict(list)
    for (namespace, kind, name, *labels), count in group(samples, promql.DENIED_LABELS).items():
        if round(count):
            found[Ref(namespace, kind, name)].append(Denied(count, *labels))
    return found


def _recent(rows: list[Row], catalog: Catalog, now: float) -> dict[Ref, Rollout]:
    """New versions of the workloads that fail."""
    failing = [row for row in rows if row.success is not None and row.success < WARNING]
    keys = [(row.kind, row.namespace, row.name) for row in failing]
    found = {Ref(space, kind, name): rollouts(catalog, kind, space, name) for kind, space, name in keys}
    return {ref: versions[-1] for ref, versions in found.items() if _new(versions, now)}


def _new(versions: list[Rollout], now: float) -> bool:
    """Is the version in use one that was not there before, and others were?"""
    return len(versions) > 1 and versions[-1].began > now - RECENT_SECONDS and not rolled_back(versions)


def _disconnected(samples: list[Sample], mesh: Mesh) -> dict[Ref, int]:
    """Proxies without a stream to the control plane; those of its own pods have none to begin with."""
    found = group(samples, _OWN).items()
    return {Ref(*key): round(count) for key, count in found if key[0] != mesh.namespace}
