"""Whose proxies a tap listens to: the pods of a workload, as they come and go. Pure but for waking those who wait."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from weft_kube.objects import Pod
from weft_kube.workloads import in_mesh, owners, running

from weft_tap.subject import Subject, Target

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """The running pods of a subject: those with a proxy, and how many have none."""

    targets: frozenset[Target]
    unmeshed: int


class Pods:
    """All pods: the index that a reflector feeds. `changed` is set, and replaced, at each change."""

    def __init__(self) -> None:
        self._pods: dict[Key, Pod] = {}
        self.changed = asyncio.Event()

    def apply(self, pod: Pod) -> None:
        """A pod is new or changed."""
        self._pods[pod.key] = pod
        self._wake()

    def delete(self, key: Key) -> None:
        """A pod is gone."""
        self._pods.pop(key, None)
        self._wake()

    def reset(self, pods: Sequence[Pod]) -> None:
        """These are all there are."""
        self._pods = {pod.key: pod for pod in pods}
        self._wake()

    def of(self, subject: Subject) -> Found:
        """The subject's running pods."""
        return find(subject, self._pods.values())

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


def find(subject: Subject, pods: Iterable[Pod]) -> Found:
    """Selects the subject's running pods."""
    mine = [pod for pod in pods if running(pod) and pod.status.pod_ips and _belongs(pod, subject)]
    targets = frozenset(_target(pod) for pod in mine if in_mesh(pod))
    return Found(targets, len(mine) - len(targets))


def _belongs(pod: Pod, subject: Subject) -> bool:
    namespace, name = pod.key
    if namespace != subject.namespace:
        return False
    wanted = (subject.kind.name, subject.name)
    return wanted in (("namespace", namespace), ("pod", name), *owners(pod.metadata))


def _target(pod: Pod) -> Target:
    return Target(*pod.key, pod.status.pod_ips[0].ip, pod.spec.service_account_name)
