"""Where weft's pods run, from which registry, and who may reach them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

VALUES = Path(__file__).parents[1] / "values.yaml"
UNITS = ("destination", "identity", "injector", "spValidator", "viz.tap")
DIGEST = "sha256:" + "a" * 64


def test_secrets_of_the_registry_reach_every_pod(helm: Any) -> None:
    """The subchart's too."""
    pods = helm.render("viz.enabled=true", "global.image.pullSecrets={one,two}").pods()

    assert [spec["imagePullSecrets"] for spec in pods.values()] == [[{"name": "one"}, {"name": "two"}]] * len(pods)


def test_placement_reaches_every_pod(helm: Any) -> None:
    """Priority, nodes and taints are one value each."""
    toleration = "global.pods.tolerations[0].key=infra"
    settings = (
        "global.pods.priorityClassName=system-cluster-critical",
        "global.pods.nodeSelector.pool=infra",
        toleration,
    )
    placed = {
        (spec["priorityClassName"], spec["nodeSelector"]["pool"], spec["tolerations"][0]["key"])
        for spec in helm.render("viz.enabled=true", *settings).pods().values()
    }

    assert placed == {("system-cluster-critical", "infra", "infra")}


@pytest.mark.parametrize("unit", UNITS)
def test_replicas_are_spread_over_zones_and_nodes(helm: Any, unit: str) -> None:
    """By the labels of their own pods; where it cannot be, they run all the same. One replica needs no such rule."""
    many, one = (helm.render("viz.enabled=true", f"{unit}.replicas={replicas}") for replicas in (2, 1))
    (deployment,) = [d for d in many.of("Deployment") if "topologySpreadConstraints" in d["spec"]["template"]["spec"]]
    template = deployment["spec"]["template"]
    spread = template["spec"]["topologySpreadConstraints"]

    assert [rule["topologyKey"] for rule in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert {rule["whenUnsatisfiable"] for rule in spread} == {"ScheduleAnyway"}
    assert all(
        rule["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items() for rule in spread
    )
    assert [name for name, spec in one.pods().items() if "topologySpreadConstraints" in spec] == []


def images(objects: Any) -> set[str]:
    """All that pods pull, those that are injected too."""
    template = json.loads(objects.one("ConfigMap", "weft-proxy-template")["data"]["template.json"])
    return {container["image"] for _, container in objects.containers()} | {
        template[name]["image"] for name in ("init", "proxy")
    }


def test_digests_pin_images_wherever_they_are_named(helm: Any) -> None:
    """In the control plane and in what is injected; the tag, which is the version that pods tell, stays beside it."""
    tag = yaml.safe_load(VALUES.read_text())["global"]["proxy"]["tag"]
    units = (*UNITS, "viz.web", "proxyInit", "global.proxy")
    objects = helm.render("viz.enabled=true", *(f"{unit}.digest={DIGEST}" for unit in units))
    own = [image for image in images(objects) if image.startswith("ghcr.io/weft-mesh/")]

    assert [image for image in own if not image.endswith(f"@{DIGEST}")] == []
    assert (len(own), f"ghcr.io/weft-mesh/proxy:{tag}@{DIGEST}" in own) == (len(units), True)


def test_the_example_of_a_registry_names_every_image(helm: Any) -> None:
    """A cluster that reaches no other registry has all that it needs, Prometheus and Grafana too."""
    found = images(helm.render("viz.enabled=true", values="examples/registry.yaml"))

    assert [image for image in found if not image.startswith("registry.example/")] == []


def test_network_policies_are_off_unless_asked_for(mesh: Any) -> None:
    """A cluster that enforces them may have its own."""
    assert mesh.of("NetworkPolicy") == []


@pytest.mark.parametrize("exposed", [False, True])
def test_strangers_reach_public_ports_only(helm: Any, exposed: bool) -> None:
    """Every pod of weft is held to what its Service offers to all; the namespace itself may do more."""
    objects = helm.render("viz.enabled=true", "global.networkPolicies=true", f"viz.web.expose={str(exposed).lower()}")
    public = {}
    for policy in objects.of("NetworkPolicy"):
        own, *others = policy["spec"]["ingress"]
        assert own == {"from": [{"podSelector": {}}]}
        public[policy["metadata"]["name"]] = [port["port"] for rule in others for port in rule["ports"]]

    assert public.keys() == objects.pods().keys()
    assert public == {
        "destination": [8086], "identity": [8080], "injector": [8443], "sp-validator": [8443], "tap": [8089],
        "web": [8085] if exposed else [], "prometheus": [], "grafana": [],
    }  # fmt: skip
