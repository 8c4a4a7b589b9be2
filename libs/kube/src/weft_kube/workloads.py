"""Kinds of workloads: their names, paths and short forms, and which workloads a pod belongs to."""

import hashlib
import re
from dataclasses import dataclass

from weft_kube.names import PROXY_CONTAINER, PROXY_VERSION
from weft_kube.objects import Meta, Pod


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind as weft names it: `name` in labels and answers, `plural` in paths, `short` as people type it."""

    name: str
    plural: str
    short: str
    group: str = "/api/v1"

    @property
    def path(self) -> str:
        """The collection over all namespaces."""
        return f"{self.group}/{self.plural}"


KINDS = (
    Kind("namespace", "namespaces", "ns"),
    Kind("deployment", "deployments", "deploy", "/apis/apps/v1"),
    Kind("statefulset", "statefulsets", "sts", "/apis/apps/v1"),
    Kind("daemonset", "daemonsets", "ds", "/apis/apps/v1"),
    Kind("replicaset", "replicasets", "rs", "/apis/apps/v1"),
    Kind("job", "jobs", "job", "/apis/batch/v1"),
    Kind("cronjob", "cronjobs", "cj", "/apis/batch/v1"),
    Kind("pod", "pods", "po"),
    Kind("service", "services", "svc"),
)
_BY_WORD = {word: kind for kind in KINDS for word in (kind.name, kind.plural, kind.short)}
LABEL_MAX = 63
_CRON_RUN = re.compile(r"(.+)-\d{8,}")


def parse_kind(word: str) -> Kind:
    """A kind by name, plural or short form in any case; ValueError names those there are."""
    if kind := _BY_WORD.get(word.lower()):
        return kind
    raise ValueError(f"unknown kind {word!r}; known are {', '.join(kind.name for kind in KINDS)}")


def owners(pod: Meta) -> list[tuple[str, str]]:
    """The workloads a pod belongs to, nearest first, as (kind, name), from its own metadata alone.

    A Deployment names its ReplicaSets NAME-HASH and labels their pods with the hash; a CronJob names its Jobs
    NAME-MINUTES. A Job made from a CronJob by hand belongs to no CronJob here.
    """
    owner = next((ref for ref in pod.owner_references if ref.controller), None)
    if owner is None:
        return []
    chain = [(owner.kind.lower(), owner.name)]
    template = pod.labels.get("pod-template-hash")
    if owner.kind == "ReplicaSet" and template and owner.name.endswith(f"-{template}"):
        chain.append(("deployment", owner.name.removesuffix(f"-{template}")))
    elif owner.kind == "Job" and (run := _CRON_RUN.fullmatch(owner.name)):
        chain.append(("cronjob", run[1]))
    return chain


def label_value(name: str) -> str:
    """A workload's name as a label holds it, of pods and of metrics: a longer one is cut and ends in its hash."""
    if len(name) <= LABEL_MAX:
        return name
    return f"{name[: LABEL_MAX - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def in_mesh(pod: Pod) -> bool:
    """Has the pod a proxy? Those of the control plane have one without the label."""
    if PROXY_VERSION in pod.metadata.labels:
        return True
    return any(one.name == PROXY_CONTAINER for one in (*pod.spec.containers, *pod.spec.init_containers))


def running(pod: Pod) -> bool:
    """Is the pod running, and not on its way out?"""
    return pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None
