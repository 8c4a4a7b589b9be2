"""viz: who reaches the dashboard, and what Prometheus is told."""

from typing import Any


def env(objects: Any, workload: str) -> dict[str, str]:
    """A Deployment's settings."""
    (container,) = objects.one("Deployment", workload)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", "") for one in container["env"]}


def reviews(objects: Any) -> set[str]:
    """What web may ask Kubernetes about callers."""
    rules = objects.one("ClusterRole", "weft-web")["rules"]
    return {resource for rule in rules for resource in rule["resources"] if resource.endswith("reviews")}


def test_the_dashboard_is_on_loopback_unless_told(helm: Any, mesh: Any) -> None:
    """Exposed, it asks every caller for a token, and may ask Kubernetes about it; else it may not even that."""
    exposed = helm.render("viz.enabled=true", "viz.web.expose=true")
    assert (env(mesh, "web")["WEFT_LISTEN"], reviews(mesh)) == ("127.0.0.1:8084", set())
    assert (env(exposed, "web")["WEFT_LISTEN"], env(exposed, "web")["WEFT_AUTHENTICATE"]) == ("0.0.0.0:8084", "true")
    assert reviews(exposed) == {"tokenreviews", "subjectaccessreviews"}


def test_another_prometheus_takes_the_place_of_the_own(helm: Any) -> None:
    """By one URL for web and Grafana; none is installed when it is switched off."""
    url = "https://prometheus.example/mesh"
    objects = helm.render("viz.enabled=true", f"viz.web.prometheusUrl={url}", "viz.prometheus.enabled=false")
    sources = objects.one("ConfigMap", "grafana-provisioning")["data"]["datasources.yaml"]
    assert env(objects, "web")["WEFT_PROMETHEUS_URL"] == url
    assert f"url: {url}" in sources
    assert [one for one in objects if one["metadata"]["name"] == "prometheus"] == []
