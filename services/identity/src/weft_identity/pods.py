"""The pods whose proxy may have a leaf: those that Kubernetes knows, placed on a node and not ended."""

from datetime import datetime

import msgspec
from weft_kube.api import KubeApi
from weft_kube.names import PROXY_CONTAINER

from weft_identity.rotation import Pod

PAGE = 500


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    creation_timestamp: datetime | None = None


class _Container(msgspec.Struct):
    name: str


class _Spec(msgspec.Struct, rename="camel"):
    containers: list[_Container] = []
    init_containers: list[_Container] = []
    node_name: str = ""


class _ContainerState(msgspec.Struct):
    waiting: dict[str, str] | None = None


class _ContainerStatus(msgspec.Struct):
    name: str
    state: _ContainerState = msgspec.field(default_factory=_ContainerState)


class _Status(msgspec.Struct, rename="camel"):
    phase: str = ""
    container_statuses: list[_ContainerStatus] = []
    init_container_statuses: list[_ContainerStatus] = []


class _Pod(msgspec.Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _ListMeta(msgspec.Struct):
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[_Pod] = []


async def live_pods(api: KubeApi, now: int) -> tuple[list[Pod], int]:
    """By the proxy's container, which nobody can take off a pod as a label could be; and how many pages it took."""
    found: list[Pod] = []
    more, pages = "", 0
    while more or not pages:
        page = await api.get("/api/v1/pods", _List, limit=str(PAGE), **({"continue": more} if more else {}))
        found += [_pod(pod, now) for pod in page.items if _has_leaf(pod)]
        more, pages = page.metadata.continue_, pages + 1
    return found, pages


def _has_leaf(pod: _Pod) -> bool:
    names = {container.name for container in (*pod.spec.containers, *pod.spec.init_containers)}
    return PROXY_CONTAINER in names and bool(pod.spec.node_name) and pod.status.phase not in ("Succeeded", "Failed")


def _pod(pod: _Pod, now: int) -> Pod:
    created = pod.metadata.creation_timestamp
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    born = int(created.timestamp()) if created else 0
    return Pod(pod.metadata.uid, name, now if _waits(pod.status) else born)


def _waits(status: _Status) -> bool:
    """Does the proxy's container wait to be started, for the first time or again?"""
    statuses = (*status.container_statuses, *status.init_container_statuses)
    return any(each.name == PROXY_CONTAINER and each.state.waiting is not None for each in statuses)
