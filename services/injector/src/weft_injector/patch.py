"""The JSON patch (RFC 6902) that adds the proxy to a pod, touching nothing else. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from weft_kube.names import PROXY_VERSION, WORKLOAD, WORKLOAD_KIND

from weft_injector.options import OPTIONS
from weft_injector.sidecar import Sidecar, Template
from weft_injector.workload import Workload

Operation = dict[str, Any]


def patch(pod: Mapping[str, Any], template: Template, values: Mapping[str, str], workload: Workload) -> list[Operation]:
    """Operations that inject the pod with the given option values.

    First comes the redirection, then the proxy, then the pod's own init containers: so these can use the network.
    The values are written on the pod, where destination reads them.
    """
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    sidecar = _sidecar(template, values, workload)
    labels = {PROXY_VERSION: template.version, WORKLOAD_KIND: workload.kind, WORKLOAD: workload.label}
    annotations = {OPTIONS[name].annotation: value for name, value in values.items() if value}
    return [
        *_merge("/metadata/labels", metadata.get("labels"), labels),
        *_merge("/metadata/annotations", metadata.get("annotations"), annotations),
        *_prepend("/spec/initContainers", spec.get("initContainers"), [sidecar.init, sidecar.proxy]),
        *_append("/spec/volumes", spec.get("volumes"), template.volumes),
    ]


def _sidecar(template: Template, values: Mapping[str, str], workload: Workload) -> Sidecar:
    sidecar = Sidecar.of(template)
    for name, value in values.items():
        OPTIONS[name].apply(sidecar, value)
    sidecar.set_env("WEFT_WORKLOAD", f"{workload.kind}/{workload.label}")
    return sidecar


def _merge(path: str, old: Mapping[str, str] | None, new: Mapping[str, str]) -> Iterable[Operation]:
    if not old:
        return [_add(path, dict(new))] if new else []
    return [_add(f"{path}/{_escape(key)}", value) for key, value in new.items() if old.get(key) != value]


def _prepend(path: str, old: list[Any] | None, new: list[Any]) -> Iterable[Operation]:
    if not old:
        return [_add(path, new)]
    return [_add(f"{path}/{position}", item) for position, item in enumerate(new)]


def _append(path: str, old: list[Any] | None, new: list[Any]) -> Iterable[Operation]:
    if not old:
        return [_add(path, new)]
    return [_add(f"{path}/-", item) for item in new]


def _add(path: str, value: Any) -> Operation:
    return {"op": "add", "path": path, "value": value}


def _escape(key: str) -> str:
    """A key as a JSON pointer's token (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")
