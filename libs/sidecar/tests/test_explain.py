"""What holds for a pod, and who said so."""

from typing import Any

from weft_sidecar.explain import effective, own_annotations, recorded
from weft_sidecar.options import Setting
from weft_sidecar.patch import Workload, patch
from weft_sidecar.template import Sidecar, Template
from weft_testkit.store import json_patch

FOUND = {
    "skip-inbound-ports": Setting("9000", "pod"),
    "opaque-ports": Setting("25", "chart"),
    "proxy-log-level": Setting("debug", "namespace shop"),
}


def injected(pod: dict[str, Any], template: Template) -> dict[str, Any]:
    """The pod with its proxy; skip-inbound-ports is its own annotation."""
    pod["metadata"]["annotations"]["config.weft.dev/skip-inbound-ports"] = "9000"
    return json_patch(pod, patch(pod, template, FOUND, Workload("deployment", "web")))


def test_an_injected_pod_tells_value_and_source(deployment_pod: dict[str, Any], template: Template) -> None:
    """The pod's own, its namespace's, the chart's, and the default where nobody said anything."""
    pod = injected(deployment_pod, template)
    sidecar = Sidecar.found_in(pod["spec"])
    assert sidecar

    found = {one.option.name: (one.value, one.source) for one in effective(recorded(pod["metadata"]), sidecar)}

    assert found["skip-inbound-ports"] == ("9000", "pod")
    assert found["proxy-log-level"] == ("debug", "namespace")
    assert found["opaque-ports"] == ("25", "chart")
    assert found["proxy-cpu-request"] == ("10m", "chart")
    assert found["debug-image"] == ("", "default")


def test_what_others_said_is_not_the_pods_own(deployment_pod: dict[str, Any], template: Template) -> None:
    """So it can be asked what the pod would get now."""
    annotations = own_annotations(injected(deployment_pod, template)["metadata"])

    options = {name: value for name, value in annotations.items() if name.startswith("config.")}
    assert options == {"config.weft.dev/skip-inbound-ports": "9000"}


def test_a_pod_without_proxy_has_none() -> None:
    """Nothing is made up for it."""
    assert Sidecar.found_in({"containers": [{"name": "weft-proxy-lookalike"}]}) is None
