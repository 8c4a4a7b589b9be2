"""Which workload a pod belongs to, and the objects that made it. Pure."""

from dataclasses import dataclass
from typing import Any, Self

import msgspec
from weft_kube.objects import Meta
from weft_kube.workloads import owners
from weft_sidecar.patch import Workload


@dataclass(frozen=True, slots=True)
class Reference:
    """An object as owner references and events name it."""

    api_version: str
    kind: str
    name: str
    uid: str = ""

    @classmethod
    def controller_of(cls, metadata: dict[str, Any]) -> Self | None:
        """The owner that is the object's controller, if it has one."""
        for owner in metadata.get("ownerReferences") or []:
            if owner.get("controller"):
                return cls(owner.get("apiVersion", ""), owner["kind"], owner["name"], owner.get("uid", ""))
        return None


def workload_of(metadata: dict[str, Any]) -> Workload:
    """The workload of a pod with this metadata, as far as the metadata alone tells."""
    chain = owners(msgspec.convert(metadata, Meta))
    return Workload(*chain[-1]) if chain else Workload("pod", pod_name(metadata))


def pod_name(metadata: dict[str, Any]) -> str:
    """The pod's name, or what there is of it before the API server has made it up."""
    return str(metadata.get("name") or metadata.get("generateName", "").rstrip("-"))
