"""Pods of the control plane: Pod Security `restricted`, probes, resources, and one proxy for all."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import yaml
from weft_sidecar.template import Template

Json = dict[str, Any]

VOLUMES = {"configMap", "emptyDir", "projected", "secret", "downwardAPI", "persistentVolumeClaim"}


def violations(spec: Json) -> Iterator[str]:
    """What Pod Security `restricted` would refuse, and weft's own read-only root file system."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    for volume in spec.get("volumes", []):
        yield from (f"volume {kind}" for kind in volume.keys() - {"name"} - VOLUMES)
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        security = spec.get("securityContext", {}) | container.get("securityContext", {})
        expected = {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        yield from (f"{container['name']} {name}" for name, value in expected.items() if security.get(name) != value)
        if security.get("runAsUser", 0) == 0:
            yield f"{container['name']} runAsUser"


def test_every_pod_is_restricted(mesh: Any) -> None:
    """No pod of the control plane needs a right that the strictest standard withholds."""
    assert {name: list(violations(spec)) for name, spec in mesh.pods().items()} == {name: [] for name in mesh.pods()}


def test_the_namespace_enforces_it(mesh: Any) -> None:
    """`weft install` makes the namespace so."""
    labels = mesh.one("Namespace", "weft")["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_container_asks_for_resources(mesh: Any) -> None:
    """The scheduler knows what a pod takes."""
    assert [c["name"] for _, c in mesh.containers() if not c["resources"]["requests"].keys() >= {"cpu", "memory"}] == []


def test_every_container_is_probed(mesh: Any) -> None:
    """weft's services by all three, the proxy by start and liveness, viz by readiness and liveness."""
    probes = {
        (workload, c["name"]): {probe for probe in c if probe.endswith("Probe")} for workload, c in mesh.containers()
    }

    others = ("prometheus", "grafana")
    expected = {
        key: {"livenessProbe"}
        | ({"readinessProbe"} if key[1] != "weft-proxy" else set())
        | ({"startupProbe"} if key[1] not in others else set())
        for key in probes
    }
    assert probes == expected


def test_only_identitys_proxy_is_an_ordinary_container(mesh: Any) -> None:
    """It needs the container beside it for its own certificate; the others start before their service."""
    places = {
        name: [
            place
            for place in ("initContainers", "containers")
            for c in spec.get(place, [])
            if c["name"] == "weft-proxy"
        ]
        for name, spec in mesh.pods().items()
    }

    assert {name: place for name, place in places.items() if place} == {
        "destination": ["initContainers"],
        "identity": ["containers"],
        "tap": ["initContainers"],
    }


@pytest.mark.parametrize("name", ["destination", "identity", "tap"])
def test_injected_pods_have_the_control_planes_proxy(mesh: Any, name: str) -> None:
    """One template: image, security, probes, resources and mounts are the same."""
    template = proxy_template(mesh)
    spec = mesh.pods()[name]
    (own,) = [c for workload, c in mesh.containers() if (workload, c["name"]) == (name, "weft-proxy")]

    different = {key for key in template.proxy.keys() | own.keys() if template.proxy.get(key) != own.get(key)}
    assert different <= {"env", "ports", "restartPolicy"}
    assert [volume for volume in template.volumes if volume not in spec["volumes"]] == []


def test_the_injector_starts_anew_when_the_template_changes(helm: Any) -> None:
    """It reads the template once: a change of it must change the pod."""
    before, after = (
        yaml.safe_dump(helm.render(*settings).one("Deployment", "injector")["spec"]["template"])
        for settings in ((), ("inject.opaquePorts=25",))
    )

    assert before != after


def test_prometheus_stays_within_its_volume(mesh: Any) -> None:
    """A volume above its limit ends the pod, and all history with it: blocks go before that."""
    spec = mesh.pods()["prometheus"]
    (limit,) = [volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"] if volume["name"] == "data"]
    sizes = [a.partition("=")[2] for c in spec["containers"] for a in c["args"] if "retention.size" in a]

    assert (sizes, limit) == (["3GB"], "4Gi")


def proxy_template(mesh: Any) -> Template:
    """As the injector reads it."""
    text = mesh.one("ConfigMap", "weft-proxy-template")["data"]["template.json"]
    return msgspec.json.decode(text, type=Template)
