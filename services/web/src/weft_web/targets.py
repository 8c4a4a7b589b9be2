"""What Prometheus scrapes, by its HTTP service discovery: every proxy and every service of the control plane. Pure."""

from collections.abc import Callable, Iterable
from typing import Any

from weft_kube.names import COMPONENT, PORT_ADMIN, WORKLOAD, WORKLOAD_KIND
from weft_kube.objects import Pod
from weft_kube.workloads import in_mesh, owners

PORT_SERVICE_ADMIN = 9990
Json = dict[str, Any]


def proxies(pods: Iterable[Pod], namespace: str) -> list[Json]:
    """Proxies of meshed pods, and those of the control plane, whose Deployments are named as their components."""
    found = [pod for pod in pods if _scrapable(pod) and in_mesh(pod)]
    return [_target(pod, PORT_ADMIN, {**_workload(pod, namespace), **_owner(pod), **_account(pod)}) for pod in found]


def services(pods: Iterable[Pod], namespace: str) -> list[Json]:
    """Services of the control plane that have an admin port."""
    mine = [pod for pod in pods if pod.metadata.namespace == namespace and _scrapable(pod)]
    return [
        _target(pod, PORT_SERVICE_ADMIN, {"component": pod.metadata.labels.get(COMPONENT, "")})
        for pod in mine
        if any(port.container_port == PORT_SERVICE_ADMIN for one in pod.spec.containers for port in one.ports)
    ]


JOBS: dict[str, Callable[[Iterable[Pod], str], list[Json]]] = {"weft-proxy": proxies, "weft-control-plane": services}


def _scrapable(pod: Pod) -> bool:
    return bool(pod.status.pod_ips) and pod.status.phase in ("Pending", "Running")


def _workload(pod: Pod, namespace: str) -> dict[str, str]:
    labels = pod.metadata.labels
    component = labels.get(COMPONENT, "")
    if WORKLOAD not in labels and pod.metadata.namespace == namespace and component:
        return {"workload_kind": "deployment", "workload": component}
    return {"workload_kind": labels.get(WORKLOAD_KIND, ""), "workload": labels.get(WORKLOAD, "")}


def _owner(pod: Pod) -> dict[str, str]:
    """What made the pod itself: its ReplicaSet, say."""
    for kind, name in owners(pod.metadata)[:1]:
        return {"owner_kind": kind, "owner": name}
    return {}


def _account(pod: Pod) -> dict[str, str]:
    return {"service_account": pod.spec.service_account_name}


def _target(pod: Pod, port: int, labels: dict[str, str]) -> Json:
    address = pod.status.pod_ips[0].ip
    host = f"[{address}]" if ":" in address else address
    namespace, name = pod.key
    return {
        "targets": [f"{host}:{port}"],
        "labels": {"namespace": namespace, "pod": name, "node": pod.spec.node_name, **labels},
    }
