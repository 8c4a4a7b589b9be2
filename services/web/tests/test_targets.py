"""What Prometheus scrapes."""

from typing import Any

import msgspec
from weft_kube.objects import Pod
from weft_testkit.objects import pod
from weft_web.targets import proxies, services


def decoded(**made: Any) -> Pod:
    """A pod with the proxy's label."""
    labels = {"weft.dev/proxy-version": "1", "weft.dev/workload-kind": "deployment", "weft.dev/workload": "web"}
    return msgspec.convert(pod("shop", "web-1", **{"ip": "10.1.2.3", "labels": labels} | made), Pod)


def control_plane() -> Pod:
    """identity's pod."""
    made = pod("weft", "identity-1", "10.1.2.9", labels={"weft.dev/component": "identity"})
    made["spec"]["containers"] = [{"name": "identity", "ports": [{"containerPort": 9990}]}, {"name": "weft-proxy"}]
    return msgspec.convert(made, Pod)


def test_a_proxy_has_the_labels_of_its_pod() -> None:
    """Namespace, pod, node, workload and service account, no others."""
    labels = {"namespace": "shop", "pod": "web-1", "node": "node-1", "workload_kind": "deployment", "workload": "web"}
    labels |= {"service_account": "default"}
    assert proxies([decoded()], "weft") == [{"targets": ["10.1.2.3:4191"], "labels": labels}]


def test_a_proxy_tells_what_made_its_pod() -> None:
    """A ReplicaSet's whole name, which its pods' names may not hold."""
    (target,) = proxies([decoded(owner=("ReplicaSet", "web-" + "x" * 70))], "weft")
    assert (target["labels"]["owner_kind"], target["labels"]["owner"]) == ("replicaset", "web-" + "x" * 70)


def test_addresses_of_ipv6_are_in_brackets() -> None:
    """As URLs need them."""
    assert proxies([decoded(ip="fd00::1")], "weft")[0]["targets"] == ["[fd00::1]:4191"]


def test_pods_that_ended_or_have_no_proxy_are_left_out() -> None:
    """Nothing listens there."""
    assert proxies([decoded(phase="Succeeded"), decoded(labels={}), decoded(ip="")], "weft") == []


def test_the_control_planes_proxies_and_services_are_scraped() -> None:
    """Its Deployments are named as its components."""
    (proxy,), (service,) = proxies([control_plane()], "weft"), services([control_plane(), decoded()], "weft")
    assert (proxy["labels"]["workload_kind"], proxy["labels"]["workload"]) == ("deployment", "identity")
    assert (service["targets"], service["labels"]["component"]) == (["10.1.2.9:9990"], "identity")
