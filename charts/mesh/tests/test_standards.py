"""What others hold a chart to: Kubernetes' schemas and kube-score, with what is not followed and why."""

import functools
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import utils as kubernetes

Json = dict[str, Any]

EVERYTHING = (
    "viz.enabled=true", "installNamespace=true", "global.networkPolicies=true", "viz.web.expose=true",
    "global.pods.priorityClassName=system-cluster-critical", "global.image.pullSecrets[0]=registry",
    "destination.replicas=3", "identity.replicas=3", "injector.replicas=3",
    "spValidator.replicas=3", "viz.tap.replicas=2",
    "viz.web.prometheusUrl=https://prometheus.example", "viz.web.prometheusSecret=thanos",
)  # fmt: skip
"""Settings with which every template has something to say."""

CHART = Path(__file__).parents[1]
NEWEST = kubernetes.major_minor(kubernetes.latest_version())
ACCEPTED = {
    "container-resources": "limits are the cluster's policy (values `resources`): one that is too low ends the mesh",
    "container-ephemeral-storage-request-and-limit": "nothing is written but volumes in memory or with a size limit",
    "container-image-pull-policy": "a tag is a version and never moves; `digest` pins the bytes",
    "container-security-context-user-group-id": "2102 and 2103 are weft's own; 472 and 65534 are those of the images",
    "deployment-replicas": "one replica is the default of a cluster with few nodes; Prometheus and Grafana have one",
    "deployment-has-host-podantiaffinity": "topologySpreadConstraints over zones and nodes say it better",
    "pod-networkpolicy": "ingress only: what weft's pods dial (API server, proxies) no chart can know",
    "pod-probes-identical": "Grafana has one health check; liveness waits for six failures",
}
"""What kube-score asks for and the chart does not do."""


@pytest.fixture(scope="module", autouse=True)
def _schemas_are_read_once() -> Iterator[None]:
    """Each object would else parse a megabyte of definitions again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes, "schema_contents", functools.cache(kubernetes.schema_contents))
        yield


@pytest.mark.parametrize("settings", [("viz.enabled=true",), EVERYTHING], ids=["defaults", "everything"])
@pytest.mark.parametrize("version", ["1.29", NEWEST])
def test_objects_fit_kubernetes_own_schemas(helm: Any, version: str, settings: tuple[str, ...]) -> None:
    """The oldest that is supported and the newest there is know every field: none is misspelt, none is gone."""
    assert {kubernetes.validate(obj, version, strict=True) for obj in helm.render(*settings)} == {version}


@pytest.mark.parametrize(
    "name", ["values-ha.yaml", *(f"examples/{path.name}" for path in CHART.glob("examples/*.yaml"))]
)
def test_examples_render(helm: Any, name: str) -> None:
    """Files of values to begin with: all that they set is a value, and what comes of it fits Kubernetes."""
    assert {kubernetes.validate(obj, NEWEST, strict=True) for obj in helm.render("viz.enabled=true", values=name)} == {
        NEWEST
    }


def test_a_field_that_kubernetes_does_not_know_is_found(helm: Any) -> None:
    """The schemas are strict."""
    deployment: Json = {**helm.render().one("Deployment", "identity"), "spce": {}}

    with pytest.raises(kubernetes.ValidationError, match="spce"):
        kubernetes.validate(deployment, NEWEST, strict=True)


def score(objects: list[Json]) -> Iterator[tuple[str, str]]:
    """Check and object of what kube-score finds."""
    if shutil.which("kube-score") is None:
        pytest.fail("kube-score is not on PATH; `make chart-test` brings one along")
    command = ["kube-score", "score", "-o", "json", "-"]
    done = subprocess.run(command, input=yaml.safe_dump_all(objects), capture_output=True, text=True, check=False)
    for obj in json.loads(done.stdout):
        found = (check for check in obj["checks"] if check["grade"] < 10 and not check["skipped"])
        yield from ((check["check"]["id"], obj["object_name"]) for check in found)


def test_kube_score_finds_nothing_but_what_is_accepted(helm: Any) -> None:
    """Each exception has a reason, and none is left that nothing needs."""
    assert {check for check, _ in score(helm.render(*EVERYTHING))} == set(ACCEPTED)
