"""What is tapped, and through which proxies. Pure."""

from dataclasses import dataclass

from weft_kube.names import PORT_TAP
from weft_kube.workloads import Kind

GROUP = "tap.weft.dev"
VERSION = "v1alpha1"


@dataclass(frozen=True, slots=True)
class Subject:
    """A workload, a pod, or a whole namespace."""

    namespace: str
    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Target:
    """One pod's proxy."""

    namespace: str
    pod: str
    address: str
    service_account: str

    @property
    def authority(self) -> str:
        """How our own proxy is asked to connect: it verifies that the other is of this service account."""
        dashed = self.address.replace(".", "-").replace(":", "-")
        return f"{dashed}.{self.namespace}.{self.service_account}.pod.weft:{PORT_TAP}"
