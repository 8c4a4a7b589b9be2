"""The JSON patch (RFC 6902) that adds the proxy to a pod, touching nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from weft_kube.names import OPTION_SOURCES, PROXY_VERSION, WORKLOAD, WORKLOAD_KIND
from weft_kube.workloads import label_value

from weft_sidecar import options, probes
from weft_sidecar.options import OPTIONS, Setting
from weft_sidecar.probes import Probe
from weft_sidecar.template import Sidecar, Template

Operation = dict[str, Any]
POD = "pod"
"""The place of options that are the pod's own."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What a pod is part of: lower-case kind and name. A pod that nobody made is its own workload."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def label(self) -> str:
        """The name as a label's value."""
        return label_value(self.name)


def patch(
    pod: Mapping[str, Any], template: Template, found: Mapping[str, Setting], workload: Workload
) -> list[Operation]:
    """Operations that inject the pod with these options.

    First comes the redirection, then the proxy, then the pod's own init containers: so these can use the network.
    The values are written on the pod, where destination reads them.
    """
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    sidecar, probed = sidecar_of_pod(pod, template, found, workload)
    return [
        *_merge("/metadata/labels", metadata.get("labels"), labels(template, found, workload)),
        *_merge("/metadata/annotations", metadata.get("annotations"), annotations(found)),
        # Before containers are added: paths of probes are by position.
        *(operation for probe in probed for operation in probe.patch()),
        *_prepend("/spec/initContainers", spec.get("initContainers"), sidecar.containers),
        *_append("/spec/volumes", spec.get("volumes"), template.volumes),
    ]


def sidecar_of_pod(
    pod: Mapping[str, Any], template: Template, found: Mapping[str, Setting], workload: Workload
) -> tuple[Sidecar, list[Probe]]:
    """The containers for this pod, and the probes that must ask them."""
    sidecar, probed = sidecar_of(template, found), probes.asking_the_proxy(pod.get("spec") or {}, found)
    sidecar.set_env("WEFT_WORKLOAD", f"{workload.kind}/{workload.label}")
    for name, value in probes.settings(probed).items():
        sidecar.set_env(name, value)
    if declared := declared_ports(pod.get("spec") or {}):
        sidecar.set_env("WEFT_INBOUND_PORTS", ",".join(map(str, declared)))
    return sidecar, probed


def declared_ports(spec: Mapping[str, Any]) -> list[int]:
    """TCP ports that the containers declare, each once: the proxy asks from its start who may call them."""
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    ports = [port for container in containers for port in container.get("ports") or []]
    return sorted({port["containerPort"] for port in ports if port.get("protocol", "TCP") == "TCP"})


def labels(template: Template, found: Mapping[str, Setting], workload: Workload) -> dict[str, str]:
    """Of an injected pod."""
    return {PROXY_VERSION: version(template, found), WORKLOAD_KIND: workload.kind, WORKLOAD: workload.label}


def version(template: Template, found: Mapping[str, Setting]) -> str:
    """The tag of the proxy's image, which a pod may choose itself, as a label's value; "unknown" without one."""
    image = found["proxy-image"].value if "proxy-image" in found else str(template.proxy.get("image", ""))
    name = image.partition("@")[0].rpartition("/")[2]
    return label_value(name.partition(":")[2].strip("-_.")) or "unknown"


def annotations(found: Mapping[str, Setting]) -> dict[str, str]:
    """Of an injected pod: the options' values and sources."""
    values = {OPTIONS[name].annotation: setting.value for name, setting in found.items()}
    return {name: value for name, value in {**values, OPTION_SOURCES: sources(found)}.items() if value}


def sidecar_of(template: Template, found: Mapping[str, Setting]) -> Sidecar:
    """The template's containers with these options."""
    sidecar = Sidecar.of(template)
    options.apply(sidecar, found)
    return sidecar


def sources(found: Mapping[str, Setting]) -> str:
    """Which options come from elsewhere, as annotation OPTION_SOURCES spells it."""
    return ",".join(f"{name}={one.place.split()[0]}" for name, one in found.items() if one.value and one.place != POD)


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
