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


class _Status(msgspec.Struct):
    phase: str = ""


class _Pod(msgspec.Struct):
    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _ListMeta(msgspec.Struct):
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[_Pod] = []


async def live_pods(api: KubeApi) -> list[Pod]:
    """By the proxy's container, which nobody can take off a pod as a label could be."""
    found: list[Pod] = []
    more = ""
    while True:
        page = await api.get("/api/v1/pods", _List, limit=str(PAGE), **({"continue": more} if more else {}))
        found += [_pod(pod) for pod in page.items if _has_leaf(pod)]
        more = page.metadata.continue_
        if not more:
            return found


def _has_leaf(pod: _Pod) -> bool:
    names = {container.name for container in (*pod.spec.containers, *pod.spec.init_containers)}
    return PROXY_CONTAINER in names and bool(pod.spec.node_name) and pod.status.phase not in ("Succeeded", "Failed")


def _pod(pod: _Pod) -> Pod:
    created = pod.metadata.creation_timestamp
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    return Pod(pod.metadata.uid, name, int(created.timestamp()) if created else 0)
