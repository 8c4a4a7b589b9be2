"""viz: who reaches the dashboard, and what Prometheus is told."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

RULES = Path(__file__).parent / "rules"


def env(objects: Any, workload: str) -> dict[str, str]:
    """A Deployment's settings."""
    (container,) = objects.one("Deployment", workload)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", "") for one in container["env"]}


def reviews(objects: Any) -> set[str]:
    """What web may ask Kubernetes about callers."""
    rules = objects.one("ClusterRole", "weft-web")["rules"]
    return {resource for rule in rules for resource in rule["resources"] if resource.endswith("reviews")}


def test_the_dashboard_is_on_loopback_unless_told(helm: Any, mesh: Any) -> None:
    """Exposed, it has a second port that wants a token, and may ask Kubernetes about it; else it may not even that."""
    exposed = helm.render("viz.enabled=true", "viz.web.expose=true")
    assert (env(mesh, "web")["WEFT_LISTEN"], "WEFT_EXPOSED_LISTEN" in env(mesh, "web")) == ("127.0.0.1:8084", False)
    assert env(exposed, "web")["WEFT_LISTEN"] == "127.0.0.1:8084"
    assert env(exposed, "web")["WEFT_EXPOSED_LISTEN"] == "0.0.0.0:8085"
    assert (reviews(mesh), reviews(exposed)) == (set(), {"tokenreviews", "subjectaccessreviews"})


@pytest.mark.parametrize(("exposed", "target"), [(False, 8084), (True, 8085)])
def test_the_service_leads_to_the_port_that_asks_for_tokens(helm: Any, exposed: bool, target: int) -> None:
    """What is on loopback, port-forward alone reaches."""
    objects = helm.render("viz.enabled=true", f"viz.web.expose={str(exposed).lower()}")
    http = objects.one("Service", "web")["spec"]["ports"][0]
    assert (http["port"], http["targetPort"]) == (8084, target)


def test_another_prometheus_takes_the_place_of_the_own(helm: Any) -> None:
    """By one URL for web and Grafana; none is installed when it is switched off."""
    url = "https://prometheus.example/mesh"
    objects = helm.render("viz.enabled=true", f"viz.web.prometheusUrl={url}", "viz.prometheus.enabled=false")
    sources = objects.one("ConfigMap", "grafana-provisioning")["data"]["datasources.yaml"]
    assert env(objects, "web")["WEFT_PROMETHEUS_URL"] == url
    assert f"url: {url}" in sources
    assert [one for one in objects if one["metadata"]["name"] == "prometheus"] == []


EXTERNAL = ("viz.enabled=true", "viz.web.prometheusUrl=https://prometheus.example", "viz.web.prometheusSecret=thanos")


@pytest.mark.parametrize("name", ["web", "grafana"])
def test_the_secret_of_another_prometheus_is_mounted_read_only(helm: Any, mesh: Any, name: str) -> None:
    """Into the container that reads it, and only where one is named. Until the Secret is there, the pod waits."""
    spec, plain = (objects.pods()[name] for objects in (helm.render(*EXTERNAL), mesh))
    (volume,) = [one for one in spec["volumes"] if "secret" in one]
    assert volume == {"name": "prometheus", "secret": {"secretName": "thanos"}}
    mounts = [
        (container["name"], mount.get("readOnly"), mount["mountPath"])
        for container in [*spec.get("initContainers", []), *spec["containers"]]
        for mount in container["volumeMounts"]
        if mount["name"] == "prometheus"
    ]
    assert mounts == [({"web": "web", "grafana": "datasource"}[name], True, "/etc/weft/prometheus")]
    assert [one for one in plain.get("volumes", []) if "secret" in one] == []


def test_web_reads_credentials_where_they_are_mounted(helm: Any, mesh: Any) -> None:
    """And none, where no Secret is named."""
    name = "WEFT_PROMETHEUS_CREDENTIALS"
    assert (env(helm.render(*EXTERNAL), "web")[name], name in env(mesh, "web")) == ("/etc/weft/prometheus", False)


def test_grafana_gets_the_data_source_with_the_credentials(helm: Any, tmp_path: Path) -> None:
    """From what its init container makes of the Secret and the chart's data source; every `$` is one."""
    objects = helm.render(*EXTERNAL)
    (init,) = objects.pods()["grafana"]["initContainers"]
    source, out, secret = tmp_path / "datasources.json", tmp_path / "weft.yaml", tmp_path / "secret"
    source.write_text(objects.one("ConfigMap", "grafana-provisioning")["data"]["datasources.json"])
    secret.mkdir()
    for key, value in {"token": "a$b", "tenant": "mesh"}.items():
        (secret / key).write_text(value)
    subprocess.run([sys.executable, *init["command"][1:], secret, source, out], check=True)
    (found,) = yaml.safe_load(out.read_text())["datasources"]
    headers = {"httpHeaderName1": "Authorization", "httpHeaderName2": "X-Scope-OrgID"}
    assert (found["url"], found["jsonData"]) == (
        "https://prometheus.example",
        {"timeInterval": "5s", "httpMethod": "POST", **headers},
    )
    assert found["secureJsonData"] == {"httpHeaderValue1": "Bearer a$$b", "httpHeaderValue2": "mesh"}
    assert out.stat().st_mode & 0o777 == 0o600


def test_credentials_without_another_prometheus_are_refused(helm: Any) -> None:
    """The chart's own wants none, so somebody forgot the URL."""
    with pytest.raises(Exception, match=r"none is named: set viz\.web\.prometheusUrl"):
        helm.render("viz.enabled=true", "viz.web.prometheusSecret=thanos")


def test_grafana_starts_anew_when_what_it_reads_at_start_changes(helm: Any, mesh: Any) -> None:
    """It would ask the old Prometheus until somebody restarts it."""
    other = helm.render("viz.enabled=true", "viz.web.prometheusUrl=http://prometheus.monitoring:9090")
    templates = [objects.one("Deployment", "grafana")["spec"]["template"] for objects in (mesh, other)]
    assert templates[0]["spec"] == templates[1]["spec"]
    assert templates[0]["metadata"]["annotations"] != templates[1]["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ((), "http://localhost:3000"),
        (("viz.grafana.enabled=false",), ""),
        (("viz.grafana.url=https://grafana.example",), "https://grafana.example"),
        (("viz.grafana.enabled=false", "viz.grafana.url=https://grafana.example"), "https://grafana.example"),
    ],
)
def test_the_dashboard_links_to_grafana(helm: Any, values: tuple[str, ...], url: str) -> None:
    """To the one that is installed, or to another that is named; nowhere without any."""
    assert env(helm.render("viz.enabled=true", *values), "web").get("WEFT_GRAFANA_URL", "") == url


def test_grafana_links_to_the_dashboard(helm: Any, mesh: Any) -> None:
    """Where browsers find it; as long as nobody says where, that is where `weft viz dashboard` brings it."""
    told = helm.render("viz.enabled=true", "viz.web.url=https://weft.example")
    boards = [objects.one("ConfigMap", "grafana-dashboards")["data"]["workload.json"] for objects in (mesh, told)]
    page = "/namespaces/${namespace}/${kind}/${workload}"
    links = [[one["url"] for one in json.loads(board)["links"] if "url" in one] for board in boards]
    assert [found[-1] for found in links] == [f"http://localhost:50750{page}", f"https://weft.example{page}"]


def config(objects: Any, folder: Path) -> Path:
    """Prometheus' configuration as its pod has it, in a folder."""
    for name, text in objects.one("ConfigMap", "prometheus-config")["data"].items():
        (folder / name).write_text(text)
    return folder


def promtool(folder: Path, *arguments: str) -> None:
    """promtool, run in the folder, has no complaint."""
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_configuration(mesh: Any, tmp_path: Path) -> None:
    """Scrapes and rules, as rendered."""
    promtool(config(mesh, tmp_path), "check", "config", "prometheus.yml")


def test_rules_alert_when_they_should_and_only_then(mesh: Any, tmp_path: Path) -> None:
    """tests/rules says when."""
    shutil.copy(RULES / "alerts.test.yml", config(mesh, tmp_path))
    promtool(tmp_path, "test", "rules", "alerts.test.yml")


def test_every_alert_has_a_test(mesh: Any, tmp_path: Path) -> None:
    """With what it says when it goes off."""
    groups = yaml.safe_load((config(mesh, tmp_path) / "alerts.yml").read_text())["groups"]
    tests = yaml.safe_load((RULES / "alerts.test.yml").read_text())["tests"]
    proved = {one["alertname"] for test in tests for one in test.get("alert_rule_test", ()) if one.get("exp_alerts")}
    assert proved == {rule["alert"] for group in groups for rule in group["rules"]}


def test_every_alert_says_the_next_step(mesh: Any, tmp_path: Path) -> None:
    """And how bad it is."""
    groups = yaml.safe_load((config(mesh, tmp_path) / "alerts.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert {"summary", "next"} == set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_recorded_metrics_are_documented(mesh: Any, tmp_path: Path) -> None:
    """docs/metrics.md has each, and no other."""
    groups = yaml.safe_load((config(mesh, tmp_path) / "recording.yml").read_text())["groups"]
    page = (RULES.parents[3] / "docs/metrics.md").read_text()
    recorded = {rule["record"] for group in groups for rule in group["rules"]}
    assert recorded == set(re.findall(r"^\| `(weft:\S+)`", page, re.MULTILINE))
