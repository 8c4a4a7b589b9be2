"""What there is: objects of each kind and their pods, kept by reflectors. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Struct, field
from weft_kube.objects import Condition, Meta, Object, Pod, Service
from weft_kube.workloads import LABEL_MAX, in_mesh, label_value, owners, running

from weft_web.model import Meshed

T = TypeVar("T", bound=Object)
Key = tuple[str, str]
REVISION = "deployment.kubernetes.io/revision"


class Revision(Object):
    """A ControllerRevision: a version of a StatefulSet or DaemonSet."""

    revision: int = 0


class Progress(Condition):
    """A condition, and when it was last told."""

    last_update_time: str = ""


class DeploymentStatus(Struct):
    """status of a Deployment."""

    conditions: list[Progress] = []


class Deployment(Object):
    """A Deployment, and how far its rollout is."""

    status: DeploymentStatus = field(default_factory=DeploymentStatus)


DECODED: Mapping[str, type[Object]] = {"deployment": Deployment, "service": Service}
"""Kinds of which more is read than their metadata."""


class Store(Generic[T]):
    """Objects of one kind by namespace and name: the index that a reflector feeds."""

    def __init__(self) -> None:
        self.objects: dict[Key, T] = {}
        self.changes = 0

    def apply(self, obj: T) -> None:
        """An object is new or changed."""
        self.objects[obj.key] = obj
        self.changes += 1

    def delete(self, key: Key) -> None:
        """An object is gone."""
        self.objects.pop(key, None)
        self.changes += 1

    def reset(self, objects: Sequence[T]) -> None:
        """These are all there are."""
        self.objects = {obj.key: obj for obj in objects}
        self.changes += 1


class Catalog:
    """All kinds together. `of` lists objects, `pods` those that belong to one."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self.pod_store: Store[Pod] = Store()
        self.stores: dict[str, Store[Object]] = {kind: Store() for kind in kinds}
        self.revision_store: Store[Revision] = Store()
        self._owned: dict[tuple[str, str, str], list[Pod]] = {}
        self._owned_at = -1

    def of(self, kind: str, namespace: str = "") -> list[Object]:
        """Objects of a kind, in one namespace or all, sorted by namespace and name."""
        source: Mapping[Key, Object] = self._source(kind)
        named = [obj for key, obj in source.items() if namespace in ("", key[0] or key[1])]
        return sorted(named, key=lambda obj: obj.key)

    def _source(self, kind: str) -> Mapping[Key, Object]:
        if kind == "pod":
            return self.pod_store.objects
        if kind == "serviceaccount":  # those that a pod runs under
            pods = self.pod_store.objects.values()
            keys = {(pod.metadata.namespace, pod.spec.service_account_name) for pod in pods}
            return {key: Object(Meta(name=key[1], namespace=key[0])) for key in keys}
        return self.stores[kind].objects

    def full_name(self, kind: str, namespace: str, label: str) -> str:
        """The name of the object that metrics know by this label: long ones are cut there."""
        if len(label) < LABEL_MAX or kind not in self.stores:
            return label
        names = (obj.metadata.name for obj in self.of(kind, namespace))
        return next((name for name in names if label_value(name) == label), label)

    def pods(self, kind: str, namespace: str, name: str) -> list[Pod]:
        """Pods of a workload, a namespace, or the pod itself."""
        if self._owned_at != self.pod_store.changes:
            self._owned, self._owned_at = _by_owner(self.pod_store.objects.values()), self.pod_store.changes
        return self._owned.get((kind, namespace, name), [])


def _by_owner(pods: Iterable[Pod]) -> dict[tuple[str, str, str], list[Pod]]:
    owned: dict[tuple[str, str, str], list[Pod]] = defaultdict(list)
    for pod in pods:
        namespace, name = pod.key
        account = pod.spec.service_account_name
        for kind, owner in (
            *owners(pod.metadata),
            ("pod", name),
            ("namespace", namespace),
            ("serviceaccount", account),
        ):
            owned[kind, namespace, owner].append(pod)
    return owned


def meshed(pods: Iterable[Pod]) -> Meshed:
    """Counts of the pods that run."""
    alive = [pod for pod in pods if running(pod)]
    return Meshed(pods=sum(map(in_mesh, alive)), running=len(alive))


def ready(pod: Pod) -> bool:
    """Is the pod's condition Ready true?"""
    return running(pod) and any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions)


def restarts(pod: Pod) -> int:
    """Of all its containers."""
    return sum(one.restart_count for one in (*pod.status.init_container_statuses, *pod.status.container_statuses))


@dataclass(frozen=True, slots=True)
class Rollout:
    """A version of a workload: the name of its ReplicaSet or ControllerRevision, revision, birth (epoch seconds)."""

    name: str
    revision: int
    began: float


def rollouts(catalog: Catalog, kind: str, namespace: str, name: str) -> list[Rollout]:
    """The versions of a Deployment, StatefulSet or DaemonSet by revision: the last is in use, and may be an old one
    that a rollback made the newest."""
    holders: Iterable[Object] = catalog.revision_store.objects.values()
    if kind == "deployment":
        holders = catalog.stores["replicaset"].objects.values()
    found = [
        Rollout(one.metadata.name, _revision(one), born(one))
        for one in holders
        if one.metadata.namespace == namespace
        and any(
            ref.controller and (ref.kind.lower(), ref.name) == (kind, name) for ref in one.metadata.owner_references
        )
    ]
    return sorted(found, key=lambda rollout: (rollout.revision, rollout.began))


def rolled_back(versions: Sequence[Rollout]) -> bool:
    """Is the version in use older than another?"""
    return any(one.began > versions[-1].began for one in versions)


def rolled_out(catalog: Catalog, namespace: str, name: str) -> float | None:
    """When a Deployment's last rollout came to its end, or as far as it is; StatefulSets and DaemonSets do not say."""
    found = catalog.stores["deployment"].objects.get((namespace, name))
    conditions = found.status.conditions if isinstance(found, Deployment) else []
    told = (one.last_update_time for one in conditions if one.type == "Progressing" and one.last_update_time)
    return next(map(_seconds, told), None)


def _revision(holder: Object) -> int:
    if isinstance(holder, Revision):
        return holder.revision
    text = holder.metadata.annotations.get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def born(obj: Object) -> float:
    """When it was made, in seconds since the epoch; 0 when it does not say."""
    text = obj.metadata.creation_timestamp
    return _seconds(text) if text else 0.0


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def serving(catalog: Catalog, pod: Pod) -> list[tuple[str, str]]:
    """Namespace and name of the Services that select a pod."""
    namespace, labels = pod.metadata.namespace, pod.metadata.labels.items()
    selecting = (one for one in catalog.of("service", namespace) if isinstance(one, Service))
    return [one.key for one in selecting if one.spec.selector and one.spec.selector.items() <= labels]


def status(pod: Pod) -> str:
    """One word for a pod's state, as kubectl prints it."""
    if pod.metadata.deletion_timestamp is not None:
        return "Terminating"
    init = [one for one in pod.status.init_container_statuses if not one.ready]
    for container in (*init, *pod.status.container_statuses):
        waiting, ended = container.state.waiting, container.state.terminated
        if waiting and waiting.reason not in ("", "PodInitializing"):
            return waiting.reason
        if ended and ended.reason not in ("", "Completed"):
            return ended.reason
    if pod.status.phase == "Succeeded":
        return "Completed"
    return pod.status.reason or pod.status.phase or "Unknown"
