"""tcpSocket and HTTPS probes ask the proxy, which asks the application."""

from typing import Any

from weft_sidecar.options import Setting
from weft_sidecar.patch import Workload, patch
from weft_sidecar.probes import Probe, asking_the_proxy, original
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

    found = asking_the_proxy({"containers": [named, unknown]}, {})
    assert found == [Probe("/spec/containers/0/livenessProbe", 6379)]


def https(path: str, **more: Any) -> Json:
    """An httpGet probe with TLS."""
    return {"httpGet": {"scheme": "HTTPS", "port": 8443, "path": path, **more}, "periodSeconds": 3}


def test_an_https_probe_asks_the_proxy(deployment_pod: Json, template: Template) -> None:
    """Its headers and its period stay; the proxy learns which requests it may be asked for, and no others."""
    headers = [{"name": "Host", "value": "web.example"}]
    deployment_pod["spec"]["containers"][0]["readinessProbe"] = https("ready?full=1", httpHeaders=headers)
    deployment_pod["spec"]["containers"][0]["livenessProbe"] = https("")

    spec = json_patch(deployment_pod, patch(deployment_pod, template, {}, WEB))["spec"]

    assert spec["containers"][0]["readinessProbe"] == {
        "httpGet": {"path": "/probe/https/8443/ready?full=1", "port": 4191, "httpHeaders": headers},
        "periodSeconds": 3,
    }
    assert {"name": "WEFT_PROBE_HTTPS", "value": "8443/ 8443/ready?full=1"} in spec["initContainers"][1]["env"]


def test_a_probe_can_be_given_back() -> None:
    """What asks the proxy tells what it was."""
    headers = [{"name": "Host", "value": "web.example"}]
    probes = [https("/ready?full=1", httpHeaders=headers), tcp(6379)]
    found = asking_the_proxy({"containers": [{"name": "a", "livenessProbe": one} for one in probes]}, {})

    assert [original(one.action) | {"periodSeconds": 3} for one in found] == probes
    assert original({"path": "/healthz", "port": 80}) == {}


def test_probes_that_do_not_meet_the_proxy_stay() -> None:
    """Skipped ports, other hosts, the kinds that the proxy carries to the application, paths of many spellings."""
    probes = [tcp(9001), tcp(80, host="db.example"), {"httpGet": {"port": 80}}, {"grpc": {"port": 80}}, {"exec": {}}]
    probes += [https("/", host="db.example"), *map(https, ("/a b", "//a", "/%zz", "/\u00e4", "/a#b", "/$(b)"))]
    spec = {"containers": [{"name": "a", "livenessProbe": probe} for probe in probes]}

    assert asking_the_proxy(spec, {"skip-inbound-ports": Setting("9000-9010", "pod")}) == []
