"""Mark workloads for injection in a stream of Kubernetes YAML, or take the mark away. Pure: text in, text out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from weft import yamledit
from weft.errors import Failure
from weft.names import INIT_CONTAINER, INJECT, PROXY_CONTAINER

TEMPLATES: dict[str, tuple[str, ...]] = {
    "Deployment": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}
"""Where each kind keeps its pod template."""

ANNOTATION = ("metadata", "annotations", INJECT)
LABEL = ("metadata", "labels", INJECT)
SURROGATES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
"""JSON's escapes of characters beyond 16 bits, which YAML does not know; the parser gets blanks of the same length."""

DOCUMENT = re.compile(r"^(?=---(?:\s|$))", re.MULTILINE)


@dataclass
class Outcome:
    """The changed text and what became of each object."""

    text: str = ""
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    meshed: list[str] = field(default_factory=list)
    """Pods (or templates) that hold the proxy itself, which is beyond a mark."""
    skipped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Outcome") -> "Outcome":
        """Append what another text gave."""
        if self.text and not self.text.endswith("\n"):
            self.text += "\n"
        self.text += ("---\n" if self.text and not other.text.startswith("---") else "") + other.text
        for name in ("changed", "unchanged", "meshed", "skipped", "warnings", "errors"):
            getattr(self, name).extend(getattr(other, name))
        return self


def transform(text: str, source: str, remove: bool = False) -> Outcome:
    """Inject (or uninject) every workload and namespace of the text; `source` names it in messages."""
    outcome = Outcome()
    for document in filter(None, DOCUMENT.split(text)):
        outcome.text += _document(document, source, remove, outcome)
    return outcome


def _document(text: str, source: str, remove: bool, outcome: Outcome) -> str:
    root = _parse(text, source)
    if root is None:
        return text
    edits: list[yamledit.Edit] = []
    for node in _objects(root, source):
        try:
            edits += _object(text, node, remove, outcome)
        except yamledit.EditError as error:
            outcome.errors.append(f"{_name(node)}: {error}")
    return yamledit.apply(text, edits)


def _parse(text: str, source: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(SURROGATES.sub(r"\\u0020\\u0020", text), Loader=yamledit.LOADER)
    except yaml.YAMLError as error:
        raise Failure(f"{source} is not YAML: {error}", "Give Kubernetes objects.") from error
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
        return None
    return node


def _objects(node: yaml.Node, source: str) -> Iterator[yaml.MappingNode]:
    kind = yamledit.scalar(node, "kind")
    if not isinstance(node, yaml.MappingNode) or not kind or not yamledit.scalar(node, "apiVersion"):
        raise Failure(
            f"{source} is not Kubernetes YAML: a document has no apiVersion and kind",
            "Give objects as kubectl would take them.",
        )
    items = yamledit.get(node, "items")
    if kind.endswith("List") and isinstance(items, yaml.SequenceNode):
        for item in items.value:
            yield from _objects(item, source)
    else:
        yield node


def _object(text: str, node: yaml.MappingNode, remove: bool, outcome: Outcome) -> list[yamledit.Edit]:
    kind = yamledit.scalar(node, "kind")
    place = LABEL if kind == "Namespace" else ANNOTATION
    template = node if kind == "Namespace" else yamledit.get(node, *TEMPLATES.get(kind, ("",)))
    if not isinstance(template, yaml.MappingNode):
        outcome.skipped.append(_name(node))
        return []
    if not remove and not _injectable(node, template, place, outcome):
        return []
    edits = yamledit.drop(text, template, place) if remove else yamledit.put(text, template, place, "enabled")
    (outcome.changed if edits else outcome.unchanged).append(_name(node))
    # What was read from a cluster would be refused once its status has moved on (409 Conflict).
    return edits + (yamledit.drop(text, node, ("metadata", "resourceVersion")) if edits else [])


def _injectable(node: yaml.MappingNode, template: yaml.MappingNode, place: tuple[str, ...], outcome: Outcome) -> bool:
    name = _name(node)
    if yamledit.scalar(template, "spec", "hostNetwork").lower() in {"true", "yes", "on"}:
        outcome.errors.append(f"{name}: hostNetwork is enabled, so the proxy cannot take its traffic")
        return False
    if _has_proxy(template):
        outcome.meshed.append(name)
        return False
    if yamledit.scalar(template, *place) == "disabled":
        outcome.warnings.append(f"{name}: {INJECT}: disabled was set and is now enabled")
    return True


def _has_proxy(template: yaml.MappingNode) -> bool:
    containers = yamledit.get(template, "spec", "initContainers")
    if not isinstance(containers, yaml.SequenceNode):
        return False
    return any(yamledit.scalar(item, "name") in {INIT_CONTAINER, PROXY_CONTAINER} for item in containers.value)


def _name(node: yaml.MappingNode) -> str:
    name = yamledit.scalar(node, "metadata", "name") or yamledit.scalar(node, "metadata", "generateName")
    return f"{yamledit.scalar(node, 'kind').lower()}/{name}"
