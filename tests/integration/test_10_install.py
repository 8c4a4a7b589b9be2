"""Installing by hand: what the README's flow promises."""

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest
from lab import IMAGE, ROOT, eventually, get, http, kubectl, one_line_error, run, weft
from releases.repository import Repository
from releases.units import UNITS


def test_check_is_one_json_document_that_says_success(viz: None) -> None:
    """`weft check -o json` is for machines: one document, every result a success or a warning."""
    answer = json.loads(weft("check", "-o", "json"))

    assert answer["success"] is True


def test_installing_twice_is_refused_in_one_line(installed: None) -> None:
    """A control plane that is there is named, with the command to use instead."""
    assert "weft upgrade" in one_line_error(run("weft", "install", check=False))


def test_every_control_plane_pod_fits_pod_security_restricted(viz: None) -> None:
    """The namespace enforces `restricted`, and all pods run in it."""
    labels = get("namespace", "weft")["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {"Running"} == {pod["status"]["phase"] for pod in get("pods", "-n", "weft")["items"]}


def test_a_service_has_no_shell(installed: None) -> None:
    """Whoever gets into one finds nothing to start but Python; images/build looks into the image of each unit."""
    done = run("kubectl", "-n", "weft", "exec", "deploy/injector", "--", "sh", "-c", "true", check=False)

    assert done.returncode != 0
    assert '"sh": executable file not found' in done.stderr


def test_the_trust_bundle_is_in_every_namespace(installed: None) -> None:
    """Proxies of any namespace find the anchor, and it is one and the same."""
    bundles = get("configmaps", "-A", "--field-selector=metadata.name=weft-trust-bundle")["items"]
    namespaces = {ns["metadata"]["name"] for ns in get("namespaces")["items"]}

    assert namespaces == {bundle["metadata"]["namespace"] for bundle in bundles}
    assert len({bundle["data"]["ca.crt"] for bundle in bundles}) == 1


def test_version_tells_client_and_control_plane(installed: None) -> None:
    """`weft version` names both sides, and the proxy that is injected."""
    client, server, proxy = (Repository(ROOT).version(UNITS[name]) for name in ("cli", "chart", "proxy"))
    said = weft("version").splitlines()
    assert said == [f"Client version: {client}", f"Server version: {server}", f"Proxy version: {proxy}"]


def test_a_host_network_pod_is_skipped_with_an_event(installed: None) -> None:
    """What is not injected says so, with the reason, where people look."""
    kubectl("create", "namespace", "skips")
    try:
        kubectl("label", "namespace", "skips", "weft.dev/inject=enabled")
        pod = {
            "hostNetwork": True,
            "containers": [{"name": "c", "image": IMAGE, "args": ["greeter"]}],
        }
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "node-agent", "namespace": "skips"},
            "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": pod},
            },
        }
        kubectl("apply", "-f", "-", stdin=json.dumps(deployment))
        kubectl("-n", "skips", "wait", "deploy/node-agent", "--for=jsonpath={.status.replicas}=1", "--timeout=60s")
        skipped = ("events", "-n", "skips", "--field-selector=reason=InjectionSkipped")
        events = eventually(lambda: get(*skipped)["items"], 30)

        assert "hostNetwork" in events[0]["message"]
    finally:
        kubectl("delete", "namespace", "skips", "--wait=false")


@pytest.fixture
def grafana(viz: None) -> Iterator[None]:
    """A web server in Grafana's place, whose image cannot be pulled everywhere: as a forward sees it."""
    fits = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "grafana", "image": IMAGE, "command": ["python3", "-m", "http.server", "3000"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "grafana", "namespace": "weft", "labels": {"weft.dev/component": "grafana"}},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{**container, "securityContext": fits}],
            "terminationGracePeriodSeconds": 0,
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    try:
        kubectl("-n", "weft", "wait", "pod/grafana", "--for=condition=Ready", "--timeout=60s")
        yield
    finally:
        kubectl("-n", "weft", "delete", "pod", "grafana")


def test_the_dashboard_s_command_forwards_both_pages_until_it_is_ended(grafana: None) -> None:
    """`weft viz dashboard` prints two URLs that answer; Ctrl-C ends it, and it says nothing of that."""
    command = [
        "env",
        "--default-signal=INT",
        "weft",
        "viz",
        "dashboard",
        "--no-open",
    ]  # shells' background jobs ignore it
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            pages = [process.stdout.readline().split()[-1] for _ in range(2)]
            statuses = [eventually(lambda url=page: http(url)[0], 20) for page in pages]
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=20)
        finally:
            process.kill()

    assert (statuses, process.returncode) == ([200, 200], 0)
    assert "Traceback" not in error


def test_a_malformed_service_profile_is_refused_naming_the_field(installed: None) -> None:
    """sp-validator says where and why."""
    profile = {
        "apiVersion": "weft.dev/v1alpha1",
        "kind": "ServiceProfile",
        "metadata": {"name": "broken", "namespace": "default"},
        "spec": {"routes": [{"name": "r", "condition": {"method": "GET", "pathRegex": "/a("}}]},
    }
    done = run("kubectl", "apply", "-f", "-", stdin=json.dumps(profile), check=False)

    assert done.returncode != 0
    assert "spec.routes[0].condition.pathRegex" in done.stderr
