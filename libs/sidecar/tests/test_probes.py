"""tcpSocket probes ask the proxy, which asks the application."""

from typing import Any

from weft_sidecar.options import Setting
from weft_sidecar.patch import Workload, patch
from weft_sidecar.probes import TcpProbe, tcp_probes
from weft_sidecar.template import Template
from weft_testkit.store import json_patch

Json = dict[str, Any]
WEB = Workload("deployment", "web")


def tcp(port: int | str, **more: str) -> Json:
    """A tcpSocket probe."""
    return {"tcpSocket": {"port": port, **more}, "periodSeconds": 3}


def test_a_tcp_probe_asks_the_proxy(deployment_pod: Json, template: Template) -> None:
    """Its period stays, in containers and sidecars; the proxy learns which ports may be asked for."""
    deployment_pod["spec"]["containers"][0]["readinessProbe"] = tcp(8080)
    deployment_pod["spec"]["initContainers"][0]["startupProbe"] = tcp(7000)

    spec = json_patch(deployment_pod, patch(deployment_pod, template, {}, WEB))["spec"]

    assert spec["containers"][0]["readinessProbe"] == {
        "httpGet": {"path": "/probe/tcp/8080", "port": 4191},
        "periodSeconds": 3,
    }
    assert spec["initContainers"][2]["startupProbe"]["httpGet"]["path"] == "/probe/tcp/7000"
    assert {"name": "WEFT_PROBE_PORTS", "value": "7000,8080"} in spec["initContainers"][1]["env"]


def test_a_port_may_be_named() -> None:
    """By the probe's own container; a name that is nobody's is left to the kubelet, which says so."""
    named = {"name": "a", "ports": [{"name": "db", "containerPort": 6379}], "livenessProbe": tcp("db")}
    unknown = {"name": "b", "livenessProbe": tcp("db")}

    assert tcp_probes({"containers": [named, unknown]}, {}) == [TcpProbe("/spec/containers/0/livenessProbe", 6379)]


def test_probes_that_do_not_meet_the_proxy_stay() -> None:
    """Skipped ports, other hosts, and the kinds that the proxy carries to the application."""
    probes = [tcp(9001), tcp(80, host="db.example"), {"httpGet": {"port": 80}}, {"grpc": {"port": 80}}, {"exec": {}}]
    spec = {"containers": [{"name": "a", "livenessProbe": probe} for probe in probes]}

    assert tcp_probes(spec, {"skip-inbound-ports": Setting("9000-9010", "pod")}) == []
