"""The patch: what is added, where, and that nothing else is touched."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from weft_sidecar.options import Setting
from weft_sidecar.patch import Workload, declared_ports, patch
from weft_sidecar.template import Template
from weft_sidecar.verdict import Skip, skip_reason
from weft_testkit.golden import expected, pretty
from weft_testkit.store import json_patch

GOLDEN = Path(__file__).parent / "golden"
FOUND = {
    "skip-inbound-ports": Setting("9000", "pod"),
    "opaque-ports": Setting("25,3306", "chart"),
    "proxy-cpu-limit": Setting("1", "namespace shop"),
}
WEB = Workload("deployment", "web")

Json = dict[str, Any]

names = st.text("abcdefgh/~.-", min_size=1, max_size=12)
texts = st.dictionaries(names, st.text(max_size=5), max_size=3)
containers = st.lists(st.builds(lambda name: {"name": name, "image": "app:1"}, names), max_size=3)
pods = st.fixed_dictionaries(
    {
        "metadata": st.fixed_dictionaries({"name": names}, optional={"labels": texts, "annotations": texts}),
        "spec": st.fixed_dictionaries(
            {"containers": containers},
            optional={"initContainers": containers, "volumes": containers, "hostname": names},
        ),
    }
)


def inject(pod: Json, template: Template) -> Json:
    """The pod as it is after the patch."""
    return json_patch(pod, patch(pod, template, FOUND, WEB))


@pytest.mark.parametrize("name", ["deployment_pod", "bare_pod"])
def test_patched_pods_are_golden(name: str, template: Template, request: pytest.FixtureRequest) -> None:
    """An injected pod looks as its golden file says."""
    actual = pretty(inject(request.getfixturevalue(name), template))

    assert expected(GOLDEN / f"{name}.json", actual) == actual


def test_redirection_then_proxy_then_own_init_containers(deployment_pod: Json, template: Template) -> None:
    """The pod's own init containers come last, so that they can use the network."""
    injected = inject(deployment_pod, template)

    assert [c["name"] for c in injected["spec"]["initContainers"]] == ["weft-init", "weft-proxy", "migrate"]


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("registry:5000/proxy:1.2.0", "1.2.0"),
        (f"registry:5000/proxy:1.2.0@sha256:{'0' * 64}", "1.2.0"),
        ("registry:5000/proxy:_try-", "try"),
        ("registry:5000/proxy", "unknown"),
    ],
)
def test_a_pod_tells_the_version_of_its_own_proxy(template: Template, bare_pod: Json, image: str, version: str) -> None:
    """Of the image that it chose, not of the chart's: `weft check --proxy` and the dashboard go by it."""
    chosen = patch(bare_pod, template, FOUND | {"proxy-image": Setting(image, "pod")}, WEB)

    assert json_patch(bare_pod, chosen)["metadata"]["labels"]["weft.dev/proxy-version"] == version


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pod=pods)
def test_an_injected_pod_is_not_injected_again(template: Template, pod: Json) -> None:
    """Whatever the pod, a second review leaves it alone."""
    injected = inject(pod, template)

    assert skip_reason(injected, {"weft.dev/inject": "enabled"}) == Skip.ALREADY_INJECTED


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pod=pods)
def test_nothing_else_is_touched(template: Template, pod: Json) -> None:
    """Taking away what was added gives the pod as it was."""
    injected = inject(pod, template)
    metadata, spec = pod["metadata"], pod["spec"]

    assert injected["spec"]["containers"] == spec["containers"]
    assert injected["spec"]["initContainers"][2:] == spec.get("initContainers", [])
    assert injected["spec"]["volumes"][: -len(template.volumes)] == spec.get("volumes", [])
    assert injected["spec"].get("hostname") == spec.get("hostname")
    assert metadata.get("labels", {}).items() <= injected["metadata"]["labels"].items()
    assert metadata.get("annotations", {}).items() <= injected["metadata"]["annotations"].items()


def test_the_template_is_not_changed(deployment_pod: Json, template: Template) -> None:
    """Options of one pod never reach another one."""
    first = patch(deployment_pod, template, FOUND, WEB)
    plain = patch(deployment_pod, template, {}, WEB)

    assert first != plain
    assert patch(deployment_pod, template, FOUND, WEB) == first


def test_the_proxy_learns_which_ports_are_declared() -> None:
    """Those of TCP, of all containers, each once."""
    sidecar = {"name": "log", "ports": [{"containerPort": 9000}]}
    web = {"name": "web", "ports": [{"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]}
    copy = {"name": "copy", "ports": [{"containerPort": 8080, "protocol": "TCP"}]}

    assert declared_ports({"initContainers": [sidecar], "containers": [web, copy]}) == [8080, 9000]
