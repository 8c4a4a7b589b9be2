"""Which pods belong to what, and what state they are in."""

import msgspec
from weft_kube.objects import Pod
from weft_kube.workloads import in_mesh
from weft_testkit.objects import pod
from weft_web.catalog import Catalog, meshed, status
from weft_web.model import Meshed


def a_pod(name: str = "web-5d4-x", **more: object) -> Pod:
    """A decoded pod of Deployment web, ReplicaSet web-5d4."""
    labels = {"pod-template-hash": "5d4"} | more.pop("labels", {})  # type: ignore[operator]
    made = pod("shop", name, labels=labels, owner=("ReplicaSet", "web-5d4"), **more)  # type: ignore[arg-type]
    return msgspec.convert(made, Pod)


def test_a_pod_belongs_to_its_owners_and_its_namespace() -> None:
    """Found by Deployment, ReplicaSet, namespace and its own name; gone when deleted."""
    catalog = Catalog(["deployment"])
    catalog.pod_store.apply(a_pod())
    for kind, name in (("deployment", "web"), ("replicaset", "web-5d4"), ("namespace", "shop"), ("pod", "web-5d4-x")):
        assert [one.metadata.name for one in catalog.pods(kind, "shop", name)] == ["web-5d4-x"]
    catalog.pod_store.delete(("shop", "web-5d4-x"))
    assert catalog.pods("deployment", "shop", "web") == []


def test_only_running_pods_count() -> None:
    """A pod that ended, or is on its way out, is neither meshed nor running."""
    pods = [a_pod(), a_pod(labels={"weft.dev/proxy-version": "0.1.0"}), a_pod(phase="Succeeded")]
    assert Meshed(pods=1, running=2) == meshed(pods)


def test_the_control_planes_proxy_counts_without_the_label() -> None:
    """A container of that name is a proxy too."""
    made = pod("weft", "identity-1")
    made["spec"]["containers"].append({"name": "weft-proxy"})
    assert in_mesh(msgspec.convert(made, Pod))


def test_status_is_kubectls_word() -> None:
    """A container's trouble comes before the phase."""
    made = pod("shop", "x", phase="Running")
    made["status"]["containerStatuses"] = [{"name": "app", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    assert status(msgspec.convert(made, Pod)) == "CrashLoopBackOff"
    assert status(msgspec.convert(pod("shop", "x", phase="Succeeded"), Pod)) == "Completed"
