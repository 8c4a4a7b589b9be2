"""What of weft a cluster holds, and which of it an uninstall must delete."""

from collections.abc import Iterable
from typing import Any

from weft.cluster import Kube, Object
from weft.errors import Failure
from weft.names import CONFIG, HELM_RELEASE, NAMESPACE, PROXY_VERSION, TAP_APISERVICE, TRUST_BUNDLE, VIZ_CONFIG

DELETE_FIRST = ("APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
PART_OF = "app.kubernetes.io/part-of=weft"
KEPT = ("CustomResourceDefinition",)
IRREGULAR = {"NetworkPolicy": "networkpolicies"}
CLUSTER_SCOPED = {
    "Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "APIService", "PriorityClass",
    "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
}  # fmt: skip
ON_REQUEST: tuple[Object, ...] = (
    {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "", "namespace": NAMESPACE}},
    {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "", "namespace": NAMESPACE}},
)
"""An example of each kind that the chart has only when it is told to."""

NEEDED = (
    ("", "namespaces"),
    ("", "serviceaccounts"),
    ("", "configmaps"),
    ("", "services"),
    ("apps", "deployments"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("apiregistration.k8s.io", "apiservices"),
)
"""Group and resource of what an installation with viz creates."""


def path(obj: Object) -> str:
    """The API path of an object."""
    group, kind, metadata = obj["apiVersion"], obj["kind"], obj["metadata"]
    root = f"/apis/{group}" if "/" in group else f"/api/{group}"
    if kind in CLUSTER_SCOPED:
        return f"{root}/{plural(kind)}/{metadata['name']}"
    return f"{root}/namespaces/{metadata.get('namespace', NAMESPACE)}/{plural(kind)}/{metadata['name']}"


def plural(kind: str) -> str:
    """A kind as paths of the API spell it."""
    return IRREGULAR.get(kind, kind.lower() + ("es" if kind.endswith("s") else "s"))


def config(kube: Kube) -> Object | None:
    """ConfigMap weft-config, which every installation has."""
    return _configmap(kube, CONFIG)


def settings(kube: Kube) -> Object:
    """The chart's values that whoever installed it has set; tags and digests are none of them."""
    core, viz = _settings(kube, CONFIG), _settings(kube, VIZ_CONFIG)
    return core | ({"viz": viz} if viz else {})


def _settings(kube: Kube, name: str) -> Object:
    import yaml

    found = _configmap(kube, name) or {}
    return yaml.safe_load((found.get("data") or {}).get("settings", "")) or {}


def _configmap(kube: Kube, name: str) -> Object | None:
    return kube.find(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}")


def proxy_version(config: Object) -> str:
    """The tag of the control plane's proxy image, by ConfigMap weft-config; a digest may follow it."""
    reference: str = (config.get("data") or {}).get("image.proxy", "")
    return reference.partition("@")[0].rpartition(":")[2]


def tap_service(kube: Kube) -> Object | None:
    """The APIService of tap, which every installation of viz has."""
    return kube.find(f"/apis/apiregistration.k8s.io/v1/apiservices/{TAP_APISERVICE}")


def helm_release(obj: Object) -> str | None:
    """The Helm release that owns an object."""
    release: str | None = (obj["metadata"].get("annotations") or {}).get(HELM_RELEASE)
    return release


def missing_permissions(kube: Kube) -> list[str]:
    """What an installer needs and the user may not create."""
    return [
        f"{resource}.{group}".rstrip(".")
        for group, resource in NEEDED
        if not kube.allowed("create", group, resource)
    ]  # fmt: skip


def require_permissions(kube: Kube) -> None:
    """Refuse users that cannot install."""
    if missing := missing_permissions(kube):
        raise Failure(
            f"no permission to create {', '.join(missing)}",
            "Ask a cluster administrator, or render anyway by --ignore-cluster.",
        )


def meshed_pods(kube: Kube) -> list[str]:
    """Pods with a proxy outside weft's own namespace."""
    pods = kube.list("/api/v1/pods", labelSelector=PROXY_VERSION)
    names = (pod["metadata"] for pod in pods)
    return sorted(f"{m['namespace']}/{m['name']}" for m in names if m["namespace"] != NAMESPACE)


def trust_bundles(kube: Kube) -> list[Object]:
    """The trust bundles outside weft's own namespace that no garbage collector takes away with their owner."""
    bundles = kube.list("/api/v1/configmaps", fieldSelector=f"metadata.name={TRUST_BUNDLE}")
    outside = (b for b in bundles if b["metadata"]["namespace"] != NAMESPACE and "ownerReferences" not in b["metadata"])
    return [{**bundle, "apiVersion": "v1", "kind": "ConfigMap"} for bundle in outside]


def present(objects: Iterable[Object], kube: Kube) -> list[Object]:
    """Those that an uninstall deletes and the cluster holds, as it holds them."""
    wanted = (obj for obj in objects if obj["kind"] not in KEPT)
    return [found for obj in wanted if (found := kube.find(path(obj))) is not None]


def on_request(objects: Iterable[Object]) -> list[Object]:
    """What settings bring beside these objects: of each kind that comes on request, one beside each Service."""
    names = [obj["metadata"]["name"] for obj in objects if obj["kind"] == "Service"]
    return [{**example, "metadata": {**example["metadata"], "name": name}} for name in names for example in ON_REQUEST]


def left_over(kube: Kube, kinds: Iterable[Object], wanted: Iterable[Object]) -> list[Object]:
    """Objects of an installation that are not among those wanted, of these kinds and those that come with settings."""
    keep = {path(obj) for obj in wanted}
    examples = {collection(obj): obj for obj in (*kinds, *ON_REQUEST) if obj["kind"] not in (*KEPT, "Namespace")}
    found = [
        {**item, "apiVersion": example["apiVersion"], "kind": example["kind"]}
        for where, example in examples.items()
        for item in kube.list(where, labelSelector=PART_OF)
    ]
    return [obj for obj in found if path(obj) not in keep and "ownerReferences" not in obj["metadata"]]


def collection(obj: Object) -> str:
    """The API path of all objects of its kind in its namespace, or in the cluster."""
    return path(obj).rpartition("/")[0]


def to_delete(objects: Iterable[Object]) -> str:
    """The objects as YAML for `kubectl delete -f -`: what calls into weft first.

    What lies in other namespaces comes last: identity publishes its bundle anew as long as it runs.
    """
    import yaml

    wanted = [obj for obj in objects if obj["kind"] not in KEPT]
    return yaml.safe_dump_all(map(_reference, _deletion_order(wanted)), explicit_start=True, sort_keys=False)


def _deletion_order(objects: list[Object]) -> list[Object]:
    def rank(obj: Object) -> int:
        if obj["kind"] in DELETE_FIRST:
            return 0
        if obj["kind"] == "Namespace":
            return 2
        return 1 if obj["metadata"].get("namespace", NAMESPACE) == NAMESPACE else 3

    return sorted(objects, key=rank)


def _reference(obj: Object) -> dict[str, Any]:
    kept = {key: obj["metadata"][key] for key in ("name", "namespace") if key in obj["metadata"]}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": kept}
