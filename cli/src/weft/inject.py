"""Mark workloads for injection in a stream of Kubernetes YAML, or take the mark away. Pure: text in, text out."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import yaml
from weft_kube.names import CONFIG_PREFIX
from weft_sidecar.patch import Workload

from weft import manual, yamledit
from weft.errors import Failure
from weft.manual import Manual
from weft.names import INIT_CONTAINER, INJECT, PROXY_CONTAINER
from weft.yamledit import scalar

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

BOM = "\ufeff"
DOCUMENT = re.compile(r"^(?=---(?:\s|$))", re.MULTILINE)
DIRECTIVES = re.compile(r"^(?:%.*\n(?:[ \t]*(?:#.*)?\r?\n)*)+\Z", re.MULTILINE)
"""At the end of a part: `%YAML 1.1` belongs to the document that the next `---` begins."""


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
        more = other.text.removeprefix(BOM) if self.text else other.text
        end = "...\n" if more.startswith("%") else "" if more.startswith("---") else "---\n"
        self.text += end + more if self.text and more else more
        for name in ("changed", "unchanged", "meshed", "skipped", "warnings", "errors"):
            getattr(self, name).extend(getattr(other, name))
        return self


@dataclass(frozen=True, slots=True)
class Task:
    """What to do: mark (the default), add the whole sidecar, or take either away."""

    remove: bool = False
    manual: Manual | None = None
    namespace: str = "default"
    """Of objects that name none."""


MARK = Task()


def transform(text: str, source: str, task: Task = MARK) -> Outcome:
    """Inject (or uninject) every workload and namespace of the text; `source` names it in messages."""
    outcome = Outcome(BOM if text.startswith(BOM) else "")
    for document in _documents(text):
        outcome.text += _document(document, source, task, outcome)
    return outcome


def namespaces(text: str, source: str, default: str) -> set[str]:
    """Namespaces of the text's objects."""
    roots = filter(None, (_parse(document, source) for document in _documents(text)))
    return {scalar(node, "metadata", "namespace") or default for root in roots for node in _objects(root, source)}


def _documents(text: str) -> Iterator[str]:
    """Its documents, each with its directives; all of the text but the byte order mark."""
    before = ""
    for part in DOCUMENT.split(text.removeprefix(BOM)):
        found = DIRECTIVES.search(part)
        end = found.start() if found else len(part)
        if whole := before + part[:end]:
            yield whole
        before = part[end:]
    if before:
        yield before


def _document(text: str, source: str, task: Task, outcome: Outcome) -> str:
    root = _parse(text, source)
    if root is None:
        return text
    edits: list[yamledit.Edit] = []
    for node in _objects(root, source):
        try:
            edits += _object(text, node, task, outcome)
        except yamledit.EditError as error:
            outcome.errors.append(f"{_name(node)}: {error}")
    try:
        return yamledit.apply(text, edits)
    except yamledit.EditError as error:
        outcome.errors.append(f"{source}: {error}")
        return text


def _parse(text: str, source: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(SURROGATES.sub(r"\\u0020\\u0020", text), Loader=yamledit.LOADER)
    except yaml.YAMLError as error:
        raise Failure(f"{source} is not YAML: {error}", "Give Kubernetes objects.") from error
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
        return None
    return node


def _objects(node: yaml.Node, source: str) -> Iterator[yaml.MappingNode]:
    kind = scalar(node, "kind")
    if not isinstance(node, yaml.MappingNode) or not kind or not scalar(node, "apiVersion"):
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


def _object(text: str, node: yaml.MappingNode, task: Task, outcome: Outcome) -> list[yamledit.Edit]:
    kind = scalar(node, "kind")
    template = node if kind == "Namespace" else yamledit.get(node, *TEMPLATES.get(kind, ("",)))
    if not isinstance(template, yaml.MappingNode) or (task.manual and kind == "Namespace"):
        outcome.skipped.append(_name(node))
        return []
    if not task.remove and not _injectable(node, template, outcome):
        return []
    if not task.remove:
        outcome.warnings += [f"{_name(node)}: {one}" for one in _misplaced(node)]
    edits = _edits(text, node, template, task, outcome)
    (outcome.changed if edits else outcome.unchanged).append(_name(node))
    # What was read from a cluster would be refused once its status has moved on (409 Conflict).
    return edits + (yamledit.drop(text, node, ("metadata", "resourceVersion")) if edits else [])


def _misplaced(node: yaml.MappingNode) -> Iterator[str]:
    kind = scalar(node, "kind")
    for place in above(kind):
        yield from misplaced(kind, sorted(yamledit.keys(yamledit.get(node, *place))))


def above(kind: str) -> Iterator[tuple[str, ...]]:
    """Where annotations may stand above the pod template of this kind."""
    keys = TEMPLATES.get(kind, ())
    return ((*keys[:depth], "metadata", "annotations") for depth in range(len(keys)))


def misplaced(kind: str, annotations: Iterable[str]) -> Iterator[str]:
    """What is wrong with annotations above a pod template: pods do not get them."""
    for name in annotations:
        if name == INJECT or name.startswith(CONFIG_PREFIX):
            yield f"{name} stands on the {kind}, not on its pod template: no effect"


def _edits(
    text: str, node: yaml.MappingNode, template: yaml.MappingNode, task: Task, outcome: Outcome
) -> list[yamledit.Edit]:
    if task.remove:
        return manual.uninject(text, template) or yamledit.drop(text, template, _place(node))
    if task.manual is None:
        return yamledit.put(text, template, _place(node), "enabled")
    kind, _, name = _name(node).partition("/")
    namespace = scalar(node, "metadata", "namespace") or task.namespace
    # Of generateName, as the injector takes it: a label does not end in a dash.
    workload = Workload(kind, name.rstrip("-"))
    edits, warnings = task.manual.inject(text, template, workload, namespace)
    outcome.warnings += [f"{_name(node)}: {one}" for one in warnings]
    return edits


def _place(node: yaml.MappingNode) -> tuple[str, ...]:
    return LABEL if scalar(node, "kind") == "Namespace" else ANNOTATION


def _injectable(node: yaml.MappingNode, template: yaml.MappingNode, outcome: Outcome) -> bool:
    name = _name(node)
    if scalar(template, "spec", "hostNetwork").lower() in {"true", "yes", "on"}:
        outcome.errors.append(f"{name}: hostNetwork is enabled, so the proxy cannot take its traffic")
        return False
    if _has_proxy(template):
        outcome.meshed.append(name)
        return False
    if scalar(template, *_place(node)) == "disabled":
        outcome.warnings.append(f"{name}: {INJECT}: disabled was set and is now overruled")
    return True


def _has_proxy(template: yaml.MappingNode) -> bool:
    containers = yamledit.get(template, "spec", "initContainers")
    if not isinstance(containers, yaml.SequenceNode):
        return False
    return any(scalar(item, "name") in {INIT_CONTAINER, PROXY_CONTAINER} for item in containers.value)


def _name(node: yaml.MappingNode) -> str:
    name = scalar(node, "metadata", "name") or scalar(node, "metadata", "generateName")
    return f"{scalar(node, 'kind').lower()}/{name}"
