"""The workload of a pod, from its metadata."""

from typing import Any

import pytest
from weft_injector.workload import workload_of


def owned(kind: str, name: str, **labels: str) -> dict[str, Any]:
    """Metadata of a pod that this controller made."""
    owner = {"apiVersion": "x/v1", "kind": kind, "name": name, "uid": "u", "controller": True}
    return {
        "name": f"{name}-x",
        "labels": {k.replace("_", "-"): v for k, v in labels.items()},
        "ownerReferences": [owner],
    }


@pytest.mark.parametrize(
    ("metadata", "workload"),
    [
        (owned("ReplicaSet", "web-5d4", pod_template_hash="5d4"), "deployment/web"),
        (owned("ReplicaSet", "web-5d4"), "replicaset/web-5d4"),
        (owned("StatefulSet", "db"), "statefulset/db"),
        (owned("DaemonSet", "agent"), "daemonset/agent"),
        (owned("Job", "audit"), "job/audit"),
        (owned("Job", "audit-29000000"), "cronjob/audit"),
        ({"name": "shell"}, "pod/shell"),
        ({"generateName": "shell-", "creationTimestamp": None}, "pod/shell"),
    ],
)
def test_a_pod_belongs_to_its_controller(metadata: dict[str, Any], workload: str) -> None:
    """A ReplicaSet that a Deployment made stands for the Deployment."""
    assert str(workload_of(metadata)) == workload
