"""Is the mesh well? What web can see of it: pods, Prometheus, the proxies' versions.

A check's name says what was looked at, its message what was found there, good or bad.
"""

from collections import Counter
from collections.abc import Iterable

from weft_kube.names import COMPONENT, PROXY_VERSION
from weft_kube.objects import Pod
from weft_kube.workloads import running

from weft_web.catalog import Catalog, ready, status
from weft_web.model import Check, Checks
from weft_web.prometheus import Prometheus, PrometheusError

SCRAPED = 'max_over_time(up{job="weft-proxy"}[30s]) and up{job="weft-proxy"}'
"""0 for a proxy that could not be scraped once in 30 s: one that has just begun gets its time."""

COMPONENTS = ("identity", "destination", "injector", "sp-validator", "tap", "prometheus")


async def checks(catalog: Catalog, prometheus: Prometheus, namespace: str, version: str) -> Checks:
    """All checks, in a fixed order."""
    pods = catalog.pods("namespace", namespace, namespace)
    found = [component(name, namespace, pods) for name in COMPONENTS]
    found += await _prometheus(prometheus)
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


async def _prometheus(prometheus: Prometheus) -> list[Check]:
    answers = Check("prometheus-answers", "viz", "Queries to Prometheus", "success", "answered")
    scrapes = Check("proxies-scraped", "viz", "Scrapes of the proxies", "success")
    try:
        targets = await prometheus.query(SCRAPED)
    except PrometheusError as error:
        answers.result, answers.message = "error", str(error)
        answers.hint = "is the pod of Prometheus running? does WEFT_PROMETHEUS_URL name it?"
        return [answers]
    scrapes.message = f"{len(targets)} of {len(targets)} succeed" if targets else "Prometheus knows of no proxy yet"
    down = [f"{target.labels.namespace}/{target.labels.pod}" for target in targets if not target.value]
    if down:
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
