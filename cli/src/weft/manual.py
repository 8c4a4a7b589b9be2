"""`weft inject --manual`: the whole sidecar in a pod template's text, as the injector adds it, and out again. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from weft_kube.names import (
    CONFIG_PREFIX,
    INIT_CONTAINER,
    INJECT,
    OPTION_SOURCES,
    PROXY_CONTAINER,
    PROXY_VERSION,
    WORKLOAD,
    WORKLOAD_KIND,
)
from weft_sidecar.options import Layer, OptionError, settings
from weft_sidecar.patch import POD, Workload, labels, sidecar_of_pod
from weft_sidecar.patch import annotations as written
from weft_sidecar.probes import KINDS, Probe, original
from weft_sidecar.template import DEBUG_CONTAINER, Template
from weft_sidecar.verdict import RefusedError, check_conflicts, skip_reason, warnings

from weft import yamlpatch
from weft.yamledit import Edit, EditError, drop, get, keys, scalar

CONTAINERS = {INIT_CONTAINER, PROXY_CONTAINER, DEBUG_CONTAINER}
GROUPS = ("initContainers", "containers")


@dataclass(frozen=True, slots=True)
class Manual:
    """What is added: the chart's template, and annotations of the namespace by its name."""

    template: Template
    namespaces: Mapping[str, Mapping[str, str]]

    def inject(
        self, text: str, pod: yaml.MappingNode, workload: Workload, namespace: str
    ) -> tuple[list[Edit], list[str]]:
        """Edits of a pod template, and warnings; EditError when the injector would refuse the pod or leave it alone."""
        value = yaml.constructor.SafeConstructor().construct_document(pod)
        chart = {CONFIG_PREFIX + name: text for name, text in self.template.options.items()}
        own = (value.get("metadata") or {}).get("annotations") or {}
        around = Layer(f"namespace {namespace}", self.namespaces.get(namespace, {}))
        try:
            _check_wanted(value)
            found = settings([Layer("chart", chart), around, Layer(POD, own)])
            check_conflicts(value, found)
            sidecar, probes = sidecar_of_pod(value, self.template, found, workload)
        except (OptionError, RefusedError) as refused:
            raise EditError(str(refused)) from None
        spec = get(pod, "spec")
        if not isinstance(spec, yaml.MappingNode):
            raise EditError("its pod template has no spec")
        others = {name: setting for name, setting in found.items() if setting.place != POD}
        metadata = {"labels": labels(self.template, found, workload), "annotations": written(others)}
        edits = [
            *yamlpatch.merge(text, pod, {"metadata": metadata}),
            *(_redirected(spec, probe) for probe in probes),
            yamlpatch.prepend(text, spec, "initContainers", sidecar.containers),
            yamlpatch.prepend(text, spec, "volumes", self.template.volumes),
        ]
        return edits, warnings(value, found)


def _check_wanted(pod: Mapping[str, Any]) -> None:
    """Raises RefusedError for what the injector would leave alone, but for a wish that is overruled."""
    metadata = pod.get("metadata") or {}
    annotations = dict(metadata.get("annotations") or {})
    if annotations.get(INJECT) == "disabled":
        del annotations[INJECT]
    if skip := skip_reason({**pod, "metadata": {**metadata, "annotations": annotations}}, {INJECT: "enabled"}):
        raise RefusedError(skip.message or f"the injector leaves it alone: {skip.value}")


def uninject(text: str, pod: yaml.MappingNode) -> list[Edit]:
    """Edits that take out what `inject` added, and the mark; none without a sidecar."""
    spec = get(pod, "spec")
    if spec is None or not any(_name(one) == PROXY_CONTAINER for one in _items(spec, "initContainers")):
        return []
    return [
        *_metadata_restored(text, pod),
        *(edit for group in GROUPS for container in _items(spec, group) for edit in _restored(container)),
        *yamlpatch.remove_items(text, spec, "initContainers", lambda one: _name(one) in CONTAINERS),
        *yamlpatch.remove_items(text, spec, "volumes", lambda one: _name(one) in ("weft-token", "weft-bundle")),
    ]


def _metadata_restored(text: str, pod: yaml.MappingNode) -> list[Edit]:
    metadata = get(pod, "metadata")
    if not isinstance(metadata, yaml.MappingNode) or not metadata.value:
        return []
    others = scalar(metadata, "annotations", OPTION_SOURCES).split(",")
    written = {INJECT, OPTION_SOURCES, *(CONFIG_PREFIX + one.partition("=")[0] for one in others)}
    gone = {"labels": {PROXY_VERSION, WORKLOAD, WORKLOAD_KIND}, "annotations": written}
    left = [key.value for key, value in metadata.value if not keys(value) or keys(value) - gone.get(key.value, set())]
    if not left:
        return drop(text, pod, ("metadata",))
    return [edit for key, names in gone.items() for edit in yamlpatch.remove_keys(text, metadata, key, names)]


def _redirected(spec: yaml.Node, probe: Probe) -> Edit:
    _, _, group, position, kind = probe.pointer.split("/")
    found = get(_items(spec, group)[int(position)], kind)
    if found is None:
        raise EditError(f"{kind} is a YAML alias: write it out")
    return yamlpatch.rename(found, probe.replaced, "httpGet", probe.action)


def _restored(container: yaml.Node) -> list[Edit]:
    found = [(probe, get(probe, "httpGet")) for kind in KINDS if (probe := get(container, kind))]
    return [
        yamlpatch.rename(probe, "httpGet", key, value)
        for probe, action in found
        if action
        for key, value in original(yaml.constructor.SafeConstructor().construct_document(action)).items()
    ]


def _items(spec: yaml.Node, group: str) -> list[Any]:
    found = get(spec, group)
    return found.value if isinstance(found, yaml.SequenceNode) else []


def _name(node: yaml.Node) -> str:
    return scalar(node, "name")
