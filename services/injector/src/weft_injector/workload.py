"""Which workload a pod belongs to, and the objects that made it. Pure."""

from dataclasses import dataclass
from typing import Any, Self

import msgspec
from weft_kube.objects import Meta
from weft_kube.workloads import owners
from weft_sidecar.patch import Workload


class _Owner(msgspec.Struct, rename="camel"):
    kind: str
    name: str
    api_version: str = ""
    uid: str = ""
    controller: bool = False


class Owned(msgspec.Struct, rename="camel"):
    """Metadata of an object, as far as it tells what made it."""

    owner_references: list[_Owner] | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """An object as owner references and events name it."""

    api_version: str
    kind: str
    name: str
    uid: str = ""

    @classmethod
    def controller_of(cls, metadata: Owned) -> Self | None:
        """The owner that is the object's controller, if it has one."""
        owners = metadata.owner_references or []
        return next((cls(one.api_version, one.kind, one.name, one.uid) for one in owners if one.controller), None)

    @classmethod
    def controller_of_pod(cls, metadata: dict[str, Any]) -> Self | None:
        """The same, by a pod's metadata as a review has it."""
        return cls.controller_of(msgspec.convert(metadata, Owned))


def workload_of(metadata: dict[str, Any]) -> Workload:
    """The workload of a pod with this metadata, as far as the metadata alone tells."""
    chain = owners(msgspec.convert(metadata, Meta))
    return Workload(*chain[-1]) if chain else Workload("pod", pod_name(metadata))


def pod_name(metadata: dict[str, Any]) -> str:
    """The pod's name, or what there is of it before the API server has made it up."""
    return str(metadata.get("name") or metadata.get("generateName", "").rstrip("-"))
