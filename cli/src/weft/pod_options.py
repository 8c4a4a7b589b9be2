"""`weft explain pod/NAME`: whether a pod has the proxy and why, and which value each option has by whose word."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from weft_kube.names import CONFIG_PREFIX
from weft_kube.workloads import parse_kind
from weft_sidecar.explain import Effective, effective, own_annotations, recorded
from weft_sidecar.options import Layer, OptionError, Setting, settings
from weft_sidecar.patch import POD, sidecar_of
from weft_sidecar.template import Sidecar, Template
from weft_sidecar.verdict import RefusedError, Skip, check_conflicts, skip_reason

from weft import marks
from weft.cluster import Kube
from weft.errors import Failure
from weft.inject import TEMPLATES, above, misplaced
from weft.names import NAMESPACE, PROXY_VERSION
from weft.views.table import NONE, table

Object = dict[str, Any]
NOT_ENABLED = "weft.dev/inject is enabled neither on it nor on its namespace"
SINCE = "it was created before it was marked, or while the injector was away. Restart what made it."


@dataclass(frozen=True, slots=True)
class Subject:
    """A pod, or the pod template of a workload, and its namespace."""

    title: str
    pod: Object
    namespace: Object
    misplaced: tuple[str, ...] = ()
    """Annotations that pods do not get, marks that nobody reads."""

    @property
    def metadata(self) -> Object:
        """The pod's."""
        found: Object = self.pod.get("metadata") or {}
        return found


def page(kube: Kube, namespace: str, word: str) -> str:
    """What there is to say about `pod/NAME` or `TYPE/NAME`."""
    subject = _find(kube, namespace, word)
    template = proxy_template(kube)
    present = Sidecar.found_in(subject.pod.get("spec") or {})
    if present:
        version = (subject.metadata.get("labels") or {}).get(PROXY_VERSION, "unknown")
        verdict, now = f"in the mesh, proxy version {version}", effective(recorded(subject.metadata), present)
    else:
        verdict, now = _verdict(subject), []
    try:
        new = _of_new_pods(subject, template)
    except (OptionError, RefusedError) as refused:
        verdict, new = f"{verdict}\nNew pods are refused: {refused}", now
    said = "\n".join([f"{subject.title}: {verdict}", *(f"‼ {one}" for one in subject.misplaced)])
    return f"{said}\n\n{_rows(now or new, new)}"


def _find(kube: Kube, namespace: str, word: str) -> Subject:
    typed, _, name = word.partition("/")
    try:
        kind = parse_kind(typed)
    except ValueError as error:
        raise Failure(str(error), "Write for example pod/web-1.") from None
    title = next((title for title in TEMPLATES if title.lower() == kind.name), None)
    if title is None:
        raise Failure(f"a {kind.name} has no pods' options", "Name a pod or a workload.")
    found = kube.find(f"{kind.group}/namespaces/{namespace}/{kind.plural}/{name}")
    if found is None:
        raise Failure(f"there is no {kind.name}/{name} in namespace {namespace}", "Name its namespace by -n.")
    around, pod = kube.get(f"/api/v1/namespaces/{namespace}"), _at(found, TEMPLATES[title])
    wrong = [one for place in above(title) for one in misplaced(title, _at(found, place))]
    wrong += [*marks.of_pod(pod.get("metadata") or {}), *marks.of_namespace(around["metadata"])]
    return Subject(f"{kind.name}/{name} in {namespace}", pod, around, tuple(wrong))


def _at(obj: Object, keys: tuple[str, ...]) -> Object:
    for key in keys:
        obj = obj.get(key) or {}
    return obj


def proxy_template(kube: Kube) -> Template:
    """The chart's sidecar, as the injector has it."""
    found = kube.find(f"/api/v1/namespaces/{NAMESPACE}/configmaps/weft-proxy-template")
    if found is None:
        raise Failure("weft is not installed in this cluster", "Run weft install | kubectl apply -f -.")
    return msgspec.convert(json.loads(found["data"]["template.json"]), Template)


def _verdict(subject: Subject) -> str:
    metadata = subject.namespace["metadata"]
    if metadata["name"] in marks.NEVER:
        return f"not in the mesh: nothing is injected in namespace {metadata['name']}"
    labels = metadata.get("labels") or {}
    try:
        skip = skip_reason(subject.pod, labels)
    except RefusedError as error:
        return f"refused: {error}"
    if skip:
        return f"not in the mesh: {NOT_ENABLED if skip is Skip.NOT_ENABLED else skip.message}"
    return f"not in the mesh: {SINCE}" if "status" in subject.pod else "new pods get the proxy"


def _of_new_pods(subject: Subject, template: Template) -> list[Effective]:
    """What a pod gets that is created now."""
    chart = {CONFIG_PREFIX + name: value for name, value in template.options.items()}
    metadata = subject.namespace["metadata"]
    layers = [
        Layer("chart", chart),
        Layer(f"namespace {metadata['name']}", metadata.get("annotations") or {}),
        Layer(POD, own_annotations(subject.metadata)),
    ]
    found: dict[str, Setting] = settings(layers)
    if not Sidecar.found_in(subject.pod.get("spec") or {}):
        check_conflicts(subject.pod, found)
    return effective(found, sidecar_of(template, found))


def _rows(now: list[Effective], new: list[Effective]) -> str:
    lines = list(_cells(now, new))
    if any(line[3] != NONE for line in lines):
        return table(("OPTION", "VALUE", "FROM", "A NEW POD GETS"), lines, left=4)
    return table(("OPTION", "VALUE", "FROM"), [line[:3] for line in lines], left=3)


def _cells(now: list[Effective], new: list[Effective]) -> Iterator[tuple[str, str, str, str]]:
    for one, later in zip(now, new, strict=True):
        changed = f"{later.value or NONE} ({later.source})" if one.value != later.value else NONE
        yield one.option.name, one.value or NONE, one.source, changed
