"""Whether pods are ready, and if not, what Kubernetes says is in the way."""

from weft.checks.model import Scene, require
from weft.cluster import Object, is_ready
from weft.names import COMPONENT, NAMESPACE


def require_ready(scene: Scene, component: str) -> None:
    """Fail unless each pod that the component's Deployment wants is ready."""
    deployment = scene.kube.find(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{component}")
    require(deployment, f"there is no Deployment {component} in namespace {NAMESPACE}")
    wanted = (deployment or {}).get("spec", {}).get("replicas", 1)
    pods = [pod for pod in component_pods(scene, component) if not pod["metadata"].get("deletionTimestamp")]
    unready = [pod for pod in pods if not is_ready(pod)]
    require(not unready, "\n".join(f"{pod['metadata']['name']}: {trouble(pod)}" for pod in unready))
    require(len(pods) >= wanted, f"{len(pods)} of {wanted} pods exist")


def component_pods(scene: Scene, component: str) -> list[Object]:
    """The pods of one of weft's own components."""
    return scene.kube.list(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector=f"{COMPONENT}={component}")


def trouble(pod: Object) -> str:
    """Why a pod is not ready, as precisely as its status says."""
    status = pod.get("status", {})
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"cannot be scheduled: {condition.get('message', '')}"
    for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        if reason := _container_trouble(container):
            return f"container {container['name']}: {reason}"
    return f"is {status.get('phase', 'unknown').lower()} and not ready"


def _container_trouble(container: Object) -> str:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
        return f"{waiting['reason']} {waiting.get('message', '')}".strip()
    if ended := state.get("terminated"):
        return "" if ended.get("exitCode") == 0 else f"ended with code {ended.get('exitCode')}"
    return "" if container.get("ready") or "running" not in state else "is not ready"
