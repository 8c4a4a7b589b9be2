"""Kubernetes objects for tests, as the API server would send them: only what a test is about needs saying."""

from typing import Any

Json = dict[str, Any]


def namespace(name: str, **labels: str) -> Json:
    """A Namespace; labels by keyword, with `_` for what Python does not allow, go better through `labels=`."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(
    namespace: str,
    name: str,
    ip: str = "",
    *,
    service_account: str = "default",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    owner: tuple[str, str] | None = None,
    phase: str = "Running",
    host_network: bool = False,
    node: str = "node-1",
) -> Json:
    """A Pod; `owner` is kind and name of its controller; an empty `ip`: none yet."""
    meta: Json = {"name": name, "namespace": namespace, "labels": labels or {}, "annotations": annotations or {}}
    if owner:
        meta["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "uid": "u", "controller": True}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {
            "serviceAccountName": service_account,
            "nodeName": node,
            "hostNetwork": host_network,
            "containers": [{"name": "app", "image": "app:1"}],
        },
        "status": {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}] if ip else []},
    }


def service(
    namespace: str,
    name: str,
    *cluster_ips: str,
    ports: list[Json] | None = None,
    annotations: dict[str, str] | None = None,
    selector: dict[str, str] | None = None,
) -> Json:
    """A Service; its one port is 80, named "http", unless told."""
    ips = list(cluster_ips or ("None",))
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations or {}},
        "spec": {
            "clusterIP": ips[0],
            "clusterIPs": ips,
            "type": "ClusterIP",
            "ports": ports if ports is not None else [{"name": "http", "port": 80, "targetPort": 8080}],
            "selector": {"app": name} if selector is None else selector,
        },
    }


def endpoint(
    ip: str,
    pod: str = "",
    namespace: str = "",
    *,
    zone: str = "",
    ready: bool | None = True,
    serving: bool | None = None,
    terminating: bool | None = None,
) -> Json:
    """An endpoint of a slice; with `pod`, its targetRef."""
    conditions = {"ready": ready, "serving": serving, "terminating": terminating}
    result: Json = {
        "addresses": [ip],
        "conditions": {name: value for name, value in conditions.items() if value is not None},
    }
    if pod:
        result["targetRef"] = {"kind": "Pod", "name": pod, "namespace": namespace}
    if zone:
        result["zone"] = zone
    return result


def endpoint_slice(
    namespace: str,
    name: str,
    service: str,
    endpoints: list[Json],
    *,
    ports: list[Json] | None = None,
    address_type: str = "IPv4",
) -> Json:
    """An EndpointSlice of a Service; its one port is 8080, named "http", unless told."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
        "addressType": address_type,
        "endpoints": endpoints,
        "ports": ports if ports is not None else [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def custom(kind: str, namespace: str, name: str, spec: Json) -> Json:
    """An object of weft.dev/v1alpha1."""
    return {
        "apiVersion": "weft.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
