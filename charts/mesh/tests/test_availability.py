"""values-ha.yaml: what of weft can be lost, and what is then refused."""

from typing import Any

import pytest

Json = dict[str, Any]

REPLICAS = {"destination": 3, "identity": 3, "injector": 3, "sp-validator": 2}


@pytest.fixture(scope="module")
def highly_available(helm: Any) -> Any:
    """The control plane as values-ha.yaml makes it."""
    return helm.render(values="values-ha.yaml")


def webhooks(objects: Any) -> list[Json]:
    """The injector's."""
    found: list[Json] = objects.one("MutatingWebhookConfiguration", "weft-injector")["webhooks"]
    return found


def test_every_service_of_the_control_plane_has_a_second_replica(highly_available: Any) -> None:
    """None of them is missing in the file."""
    found = {one["metadata"]["name"]: one["spec"]["replicas"] for one in highly_available.of("Deployment")}
    assert found == REPLICAS


@pytest.mark.parametrize("name", REPLICAS)
def test_replicas_are_on_different_nodes_where_they_can_be(highly_available: Any, name: str) -> None:
    """Each service has the rule; what it says stands in test_placement."""
    keys = {one["topologyKey"] for one in highly_available.pods()[name]["topologySpreadConstraints"]}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


@pytest.mark.parametrize("name", REPLICAS)
def test_draining_nodes_takes_one_replica_at_a_time(highly_available: Any, name: str) -> None:
    """A broken replica does not hold up a drain: it serves nobody."""
    spec = highly_available.one("PodDisruptionBudget", name)["spec"]
    labels = highly_available.one("Deployment", name)["spec"]["template"]["metadata"]["labels"]

    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert spec["selector"]["matchLabels"].items() <= labels.items()


def test_a_single_replica_can_be_drained(mesh: Any) -> None:
    """With one replica a budget would block every drain."""
    assert mesh.of("PodDisruptionBudget") == []


def test_in_meshed_namespaces_no_pod_starts_without_the_injector(highly_available: Any, mesh: Any) -> None:
    """Fail closed; by default pods start without a proxy."""
    assert [webhook["failurePolicy"] for webhook in webhooks(highly_available)] == ["Fail", "Fail"]
    assert [webhook["failurePolicy"] for webhook in webhooks(mesh)] == ["Ignore", "Ignore"]


def test_elsewhere_only_pods_that_ask_for_a_proxy_are_sent_to_the_injector(highly_available: Any) -> None:
    """So that no other pod of the cluster waits for weft: not in kube-system, not in weft's own namespace."""
    meshed, elsewhere = webhooks(highly_available)
    label, never = meshed["namespaceSelector"]["matchExpressions"]

    assert (label["key"], label["operator"], label["values"]) == ("weft.dev/inject", "In", ["enabled"])
    assert never["values"] == ["kube-system", "weft"]
    assert [condition["name"] for condition in elsewhere["matchConditions"]] == ["annotated"]


def test_memory_is_limited_where_a_lost_node_doubles_the_load(highly_available: Any) -> None:
    """The limit is at least twice what is asked for."""
    unit = {"Mi": 1, "Gi": 1024}
    for name in REPLICAS:
        (service,) = [c for c in highly_available.pods()[name]["containers"] if c["name"] == name]
        asked, limit = (
            int(service["resources"][key]["memory"][:-2]) * unit[service["resources"][key]["memory"][-2:]]
            for key in ("requests", "limits")
        )
        assert limit >= 2 * asked
