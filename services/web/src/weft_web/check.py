"""Is the mesh well? What web can see of it: pods, Prometheus, the proxies' versions.

A check's name says what was looked at, its message what was found there, good or bad.
"""

import time
from collections import Counter
from collections.abc import Iterable

from weft_kube.names import COMPONENT, PROXY_VERSION
from weft_kube.objects import Pod
from weft_kube.workloads import in_mesh, running

from weft_web import promql
from weft_web.catalog import Catalog, born, ready, status
from weft_web.model import Check, Checks
from weft_web.prometheus import Prometheus, PrometheusError

SCRAPED = promql.lately(f"up{{{promql.JOB}}}")

KNOWN_SECONDS = 60.0
"""Prometheus asks for its targets, and scrapes them, every 5 s; another one may do so more seldom."""

COMPONENTS = ("identity", "destination", "injector", "sp-validator", "tap", "prometheus")


async def checks(catalog: Catalog, prometheus: Prometheus, namespace: str, version: str) -> Checks:
    """All checks, in a fixed order."""
    pods = catalog.pods("namespace", namespace, namespace)
    found = [component(name, namespace, pods) for name in COMPONENTS]
    found += await _prometheus(prometheus, _meshed(catalog.pod_store.objects.values(), time.time()))
    found.append(proxy_versions(catalog.pod_store.objects.values(), version))
    return Checks(ok=all(check.result != "error" for check in found), checks=found)


def component(name: str, namespace: str, pods: Iterable[Pod]) -> Check:
    """Runs one pod of it, and is every container of one ready?"""
    check = Check(f"{name}-ready", "control-plane", f"Pods of {name}", "success")
    mine = [pod for pod in pods if pod.metadata.labels.get(COMPONENT) == name]
    if number := sum(map(ready, mine)):
        check.message = f"{number} of {len(mine)} ready"
        return check
    check.result = "error"
    states = ", ".join(f"{pod.metadata.name} is {status(pod)}" for pod in mine)
    check.message = f"none is ready: {states}" if states else "there are none"
    check.hint = f"kubectl -n {namespace} describe pods -l {COMPONENT}={name}"
    return check


def _meshed(pods: Iterable[Pod], now: float) -> set[str]:
    """Names of pods whose proxies Prometheus has had the time to know."""
    return {"/".join(pod.key) for pod in pods if in_mesh(pod) and running(pod) and now - born(pod) > KNOWN_SECONDS}


async def _prometheus(prometheus: Prometheus, meshed: set[str]) -> list[Check]:
    answers = Check("prometheus-answers", "viz", "Queries to Prometheus", "success", "answered")
    scrapes = Check("proxies-scraped", "viz", "Scrapes of the proxies", "success")
    try:
        targets = await prometheus.query(SCRAPED)
    except PrometheusError as error:
        answers.result, answers.message = "error", error.cause
        answers.hint = error.step or "is the pod of Prometheus running? does WEFT_PROMETHEUS_URL name it?"
        return [answers]
    scrapes.message = f"{len(targets)} of {len(targets)} succeed" if targets else "there is no proxy yet"
    scraped = {f"{target.labels.namespace}/{target.labels.pod}": target.value for target in targets}
    if unknown := sorted(meshed - scraped.keys()):
        told = f"Prometheus does not know {len(unknown)} of {len(meshed)}: {', '.join(unknown[:5])}"
        scrapes.result, scrapes.message = "warning", told
        scrapes.hint = "has Prometheus the jobs of ConfigMap prometheus-config? does it reach web:9990?"
    if down := [name for name, up in scraped.items() if not up]:
        scrapes.result, scrapes.message = "warning", f"{len(down)} of {len(targets)} fail: {', '.join(down[:5])}"
        scrapes.hint = "a NetworkPolicy may keep Prometheus from port 4191"
    return [answers, scrapes]


def proxy_versions(pods: Iterable[Pod], version: str) -> Check:
    """Are all proxies of the control plane's version?"""
    check = Check("proxy-versions", "data-plane", "Versions of the proxies", "success", f"all {version}")
    versions = (pod.metadata.labels.get(PROXY_VERSION, "") for pod in pods if running(pod))
    others = Counter(found for found in versions if found not in ("", version))
    if others:
        check.result = "warning"
        counted = ", ".join(f"{other} in {_pods(count)}" for other, count in sorted(others.items()))
        check.message = f"the control plane's is {version}; there is also {counted}"
        check.hint = "restart their workloads: kubectl rollout restart deploy -n NAMESPACE"
    return check


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"
