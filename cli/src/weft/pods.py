"""Which pods belong to a workload."""

from collections.abc import ItemsView
from urllib.parse import quote

from weft.cluster import Kube, Object
from weft.errors import Failure
from weft.resources import Resource

GROUPS = {
    "deployment": "apis/apps/v1",
    "statefulset": "apis/apps/v1",
    "daemonset": "apis/apps/v1",
    "replicaset": "apis/apps/v1",
    "job": "apis/batch/v1",
    "cronjob": "apis/batch/v1",
}
"""API group of each kind that makes pods; the others are core/v1."""


def path(resource: Resource, namespace: str) -> str:
    """The API path of a namespaced resource."""
    return f"/{GROUPS.get(resource.kind, 'api/v1')}/namespaces/{namespace}/{resource.plural}/{quote(resource.name)}"


def find(kube: Kube, namespace: str, resource: Resource) -> Object:
    """The object itself; Failure when there is none."""
    where = f"/api/v1/namespaces/{resource.name}" if resource.kind == "namespace" else path(resource, namespace)
    found = kube.find(where)
    if found is None:
        raise Failure(f"there is no {resource} in namespace {namespace}", "Name another, or another namespace by -n.")
    return found


def pods_of(kube: Kube, namespace: str, resource: Resource) -> list[Object]:
    """Pods of a workload, a Service or a namespace, or the pod itself; sorted by name."""
    found = find(kube, namespace, resource)
    if resource.kind == "pod":
        return [found]
    if resource.kind == "namespace":
        return _listed(kube, resource.name, "")
    if resource.kind == "cronjob":
        jobs = kube.list(f"/apis/batch/v1/namespaces/{namespace}/jobs")
        mine = [job for job in jobs if _owner(job) == ("CronJob", resource.name)]
        return [pod for job in mine for pod in _listed(kube, namespace, selector(job))]
    wanted = selector(found)
    return _listed(kube, namespace, wanted) if wanted else []


def services_of(kube: Kube, namespace: str, resource: Resource | None) -> list[str]:
    """The Services of a namespace that a workload's pods serve, or all of them, by name; a Service itself."""
    if resource and resource.kind == "service":
        return [str(find(kube, namespace, resource)["metadata"]["name"])]
    services = kube.list(f"/api/v1/namespaces/{namespace}/services")
    if resource:
        pods = [(pod["metadata"].get("labels") or {}).items() for pod in pods_of(kube, namespace, resource)]
        services = [one for one in services if any(_selects(one, labels) for labels in pods)]
    return sorted(str(one["metadata"]["name"]) for one in services)


def _selects(service: Object, labels: ItemsView[str, str]) -> bool:
    chosen = (service.get("spec") or {}).get("selector") or {}
    return bool(chosen) and chosen.items() <= labels


def selector(found: Object) -> str:
    """The labels of an object's pods, as a label selector; empty when it selects none."""
    chosen = (found.get("spec") or {}).get("selector") or {}
    labels = chosen.get("matchLabels") or {name: value for name, value in chosen.items() if isinstance(value, str)}
    terms = [f"{name}={value}" for name, value in labels.items()]
    return ",".join(terms + [_expression(one) for one in chosen.get("matchExpressions") or []])


def _expression(one: Object) -> str:
    key, values = str(one["key"]), ",".join(one.get("values") or [])
    known = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
    return known.get(one["operator"], f"!{key}")


def _listed(kube: Kube, namespace: str, labels: str) -> list[Object]:
    query = {"labelSelector": labels} if labels else {}
    return sorted(kube.list(f"/api/v1/namespaces/{namespace}/pods", **query), key=lambda pod: pod["metadata"]["name"])


def _owner(found: Object) -> tuple[str, str]:
    owners = found["metadata"].get("ownerReferences") or []
    return next(((o["kind"], o["name"]) for o in owners if o.get("controller")), ("", ""))
