"""explain pod/NAME: the mesh's verdict on a pod, its options' values and who gave them."""

import json
from typing import Any

import pytest
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import namespace, pod

TEMPLATE = {
    "version": "0.1.0",
    "init": {"name": "weft-init", "args": []},
    "proxy": {"name": "weft-proxy", "image": "proxy:0.1.0", "env": [{"name": "WEFT_LOG", "value": "info"}]},
    "volumes": [],
    "options": {"opaque-ports": "25"},
}
INJECTED = {
    "config.weft.dev/opaque-ports": "25",
    "config.weft.dev/proxy-log-level": "debug",
    "weft.dev/option-sources": "opaque-ports=chart,proxy-log-level=namespace",
}


@pytest.fixture
def shop(kube: FakeKube) -> FakeKube:
    """weft is installed; namespace shop has the label."""
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "weft-proxy-template"}}
    config_map["metadata"]["namespace"] = "weft"  # type: ignore[index]
    kube.put(config_map | {"data": {"template.json": json.dumps(TEMPLATE)}})
    labelled = namespace("shop")
    labelled["metadata"]["labels"] = {"weft.dev/inject": "enabled"}
    kube.put(labelled)
    return kube


def meshed(annotations: dict[str, str]) -> dict[str, Any]:
    """An injected pod."""
    found = pod("shop", "web-1", annotations=annotations, labels={"weft.dev/proxy-version": "0.1.0"})
    found["spec"]["initContainers"] = [TEMPLATE["init"], TEMPLATE["proxy"]]
    return found


def cells(output: str) -> dict[str, list[str]]:
    """Rows of the table, by option."""
    return {line.split()[0]: line.split()[1:] for line in output.splitlines() if line}


def test_a_pods_options_have_values_and_sources(weft: Any, shop: FakeKube, same: Any) -> None:
    """What the pod runs with; and what a new one would get, where namespace or chart have changed since."""
    shop.put(meshed(INJECTED))

    output = weft("-n", "shop", "explain", "pod/web-1").stdout

    rows = cells(output)
    assert output.startswith("pod/web-1 in shop: in the mesh, proxy version 0.1.0\n")
    assert rows["opaque-ports"] == ["25", "chart", "-"]
    assert rows["proxy-log-level"] == ["debug", "namespace", "info", "(chart)"]
    same("explain-pod.txt", output)


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ({"weft.dev/inject": "disabled"}, "not in the mesh: annotation weft.dev/inject of the pod is disabled"),
        ({}, "not in the mesh: it was created before it was marked, or while the injector was away."),
        ({"config.weft.dev/proxy-cpu": "1"}, "New pods are refused: annotation config.weft.dev/proxy-cpu of the pod"),
    ],
)
def test_a_pod_without_the_proxy_says_why(weft: Any, shop: FakeKube, annotations: dict[str, str], reason: str) -> None:
    """Disabled, older than the mark, or not able to come back."""
    shop.put(pod("shop", "web-1", annotations=annotations))

    assert reason in weft("-n", "shop", "explain", "pod/web-1").stdout


def test_a_workload_tells_what_its_new_pods_get(weft: Any, shop: FakeKube) -> None:
    """By its template's annotations; those of the workload itself have no effect, and are told."""
    template = {"metadata": {"annotations": {"config.weft.dev/proxy-workers": "2"}}, "spec": {"containers": []}}
    meta = {"name": "web", "namespace": "shop", "annotations": {"config.weft.dev/access-log": "json", "other": "x"}}
    shop.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"template": template}})

    output = weft("-n", "shop", "explain", "deploy/web").stdout

    told = "‼ config.weft.dev/access-log stands on the Deployment, not on its pod template: no effect"
    assert output.startswith(f"deployment/web in shop: new pods get the proxy\n{told}\n\n")
    assert cells(output)["access-log"] == ["off", "default"]
    assert cells(output)["proxy-workers"] == ["2", "pod"]


def test_a_mark_that_nobody_reads_is_told(weft: Any, shop: FakeKube) -> None:
    """A word that means nothing, a label where an annotation is read: why there is no proxy."""
    odd = namespace("shop")
    odd["metadata"]["labels"] = {"weft.dev/inject": "true"}
    shop.put(odd)
    shop.put(pod("shop", "web-1", labels={"weft.dev/inject": "enabled"}))

    assert weft("-n", "shop", "explain", "pod/web-1").stdout.splitlines()[:3] == [
        "pod/web-1 in shop: not in the mesh: weft.dev/inject is enabled neither on it nor on its namespace",
        "‼ weft.dev/inject is a label of the pod, no annotation: no effect",
        "‼ label weft.dev/inject of the namespace is 'true', not enabled or disabled: no effect",
    ]


def test_nothing_is_injected_where_the_webhook_does_not_look(weft: Any, shop: FakeKube) -> None:
    """Whatever the label says: the cluster's own pods come before the mesh's."""
    shop.put(namespace("kube-system", **{"weft.dev/inject": "enabled"}))
    shop.put(pod("kube-system", "dns-1"))

    told = "pod/dns-1 in kube-system: not in the mesh: nothing is injected in namespace kube-system\n"
    assert weft("-n", "kube-system", "explain", "pod/dns-1").stdout.startswith(told)


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("pod/none", "there is no pod/none in namespace shop. Name its namespace by -n."),
        ("svc/web", "a service has no pods' options. Name a pod or a workload."),
        ("x/y", "unknown kind 'x'"),
    ],
)
def test_what_cannot_be_explained_is_one_line(weft: Any, shop: FakeKube, word: str, error: str) -> None:
    """With the next step."""
    assert error in weft("-n", "shop", "explain", word).stderr
