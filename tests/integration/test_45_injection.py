"""What owners of workloads configure: probes, options, Jobs, the whole sidecar by hand, profiles."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from lab import IMAGE, eventually, get, kubectl, run, weft

SPACE = "weft-it-injection"
SERVE = "import http.server as h; h.ThreadingHTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()"
FETCH = "import urllib.request as u; u.urlopen('http://page:8080/', timeout=10)"
GUEST = """
import itertools, time, urllib.error, urllib.request
for number in itertools.count():
    try:
        urllib.request.urlopen(f"http://page:8080/{f'teas/{number}' if number % 3 else 'pages/about'}", timeout=5)
    except urllib.error.URLError:
        time.sleep(0.05)
"""
OPTIONS = {
    "proxy-workers": "2",
    "proxy-memory-limit": "64Mi",
    "proxy-log-format": "plain",
    "access-log": "json",
    "inbound-port": "14143",
    "outbound-port": "14140",
    "skip-subnets": "192.0.2.0/24",
    "max-connections": "500",
    "shutdown-grace": "5s",
    "additional-env": '{"TEA": "green"}',
}
PROFILE = """
apiVersion: weft.dev/v1alpha1
kind: ServiceProfile
metadata: {name: page, namespace: %s}
spec:
  routes:
    - {name: any, condition: {path: "/teas/{id}"}}
    - {name: mine, condition: {method: GET, path: /teas/mine}}
"""


def python(name: str, code: str, **more: Any) -> dict[str, Any]:
    """A container that runs a line of Python."""
    return {"name": name, "image": IMAGE, "command": ["python3", "-c", code], **more}


def pod(name: str, *containers: dict[str, Any], annotations: dict[str, str] | None = None) -> dict[str, Any]:
    """A pod of the namespace."""
    meta = {"name": name, "namespace": SPACE, "labels": {"app": name}, "annotations": annotations or {}}
    spec = {"containers": list(containers), "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def apply(*objects: dict[str, Any]) -> None:
    """kubectl apply -f -."""
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


def probe(port: int, **more: Any) -> dict[str, Any]:
    """A tcpSocket probe every second."""
    return {"tcpSocket": {"port": port}, "periodSeconds": 1, **more}


@pytest.fixture(scope="module")
def space(installed: None) -> Iterator[str]:
    """A namespace with the label, and in it Service page with its server."""
    labels = {"weft.dev/inject": "enabled"}
    service = {"selector": {"app": "page"}, "ports": [{"port": 8080}]}
    page = python("page", SERVE, readinessProbe=probe(8080), livenessProbe={"exec": {"command": ["true"]}})
    apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE, "labels": labels}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "page", "namespace": SPACE}, "spec": service},
        pod("page", page, annotations={f"config.weft.dev/{name}": value for name, value in OPTIONS.items()}),
        pod(
            "deaf",
            python("deaf", SERVE, readinessProbe=probe(8081)),
            annotations={"config.weft.dev/skip-outbound-ports": "8080"},
        ),
    )
    yield SPACE
    kubectl("delete", "namespace", SPACE, "--wait=false")


def ready(name: str) -> bool:
    """Is the pod ready?"""
    conditions = get("pod", name, "-n", SPACE)["status"].get("conditions", [])
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def events(name: str, reason: str) -> list[str]:
    """Messages of an object's events."""
    selector = f"involvedObject.name={name},reason={reason}"
    return [event["message"] for event in get("events", "-n", SPACE, "--field-selector", selector)["items"]]


def test_a_tcp_probe_sees_the_application(space: str) -> None:
    """A pod that listens becomes ready; one that does not listen on the probed port never does, and says so."""
    eventually(lambda: ready("page"), 120)
    eventually(lambda: any("statuscode: 503" in message for message in events("deaf", "Unhealthy")), 60)
    assert not ready("deaf")


def test_init_containers_use_the_mesh_and_jobs_end(space: str) -> None:
    """A Job's init container fetches a page through the proxy; the Job completes though the proxy would run on."""
    eventually(lambda: ready("page"), 120)
    spec = {
        "initContainers": [python("fetch", FETCH)],
        "containers": [python("done", "pass")],
        "restartPolicy": "Never",
    }
    job = {"backoffLimit": 0, "template": {"spec": spec}}
    apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "audit", "namespace": SPACE}, "spec": job})

    kubectl("-n", SPACE, "wait", "job/audit", "--for=condition=Complete", "--timeout=120s")


def test_options_take_effect(space: str) -> None:
    """A pod with many of its own serves all the same; each is told with its source, and the access log is there. Who
    skips the port goes past its own proxy, and comes as nobody."""
    eventually(lambda: ready("page"), 120)
    fetch = ["kubectl", "-n", SPACE, "exec", "deaf", "-c", "deaf", "--", "python3", "-c", FETCH]
    eventually(lambda: run(*fetch, check=False).returncode == 0)

    rows = [re.split("  +", line)[:3] for line in weft("-n", SPACE, "explain", "pod/page").splitlines()]
    assert [name for name, value in OPTIONS.items() if [name, value, "pod"] not in rows] == []

    def callers() -> list[tuple[str, str]]:
        lines = kubectl("-n", SPACE, "logs", "page", "-c", "weft-proxy").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [(one["path"], one.get("peer_identity", "")) for one in found]

    eventually(lambda: ("/", "") in callers())


def test_an_invalid_option_is_refused_with_the_reason(space: str) -> None:
    """At admission, and nothing is created."""
    wrong = pod("wrong", python("x", "pass"), annotations={"config.weft.dev/proxy-cpu-limit": "lots"})

    done = run("kubectl", "apply", "-f", "-", stdin=json.dumps(wrong), check=False)

    assert "annotation config.weft.dev/proxy-cpu-limit of the pod: 'lots' is not a quantity" in done.stderr


def test_the_workloads_events_say_what_became_of_its_pods(space: str) -> None:
    """Injected, or skipped with the reason."""
    apply(pod("left", python("x", SERVE), annotations={"weft.dev/inject": "disabled"}))

    assert eventually(lambda: events("page", "Injected"))[0].startswith("weft added its proxy")
    skipped = eventually(lambda: events("left", "InjectionSkipped"))
    assert skipped == ["annotation weft.dev/inject of the pod is disabled"]


def test_explain_tells_value_and_source(space: str) -> None:
    """Of the namespace, of the chart; and why a pod has no proxy."""
    kubectl("annotate", "namespace", SPACE, "config.weft.dev/proxy-log-level=debug", "--overwrite")
    eventually(lambda: "debug (namespace)" in weft("-n", SPACE, "explain", "pod/page"))

    assert "opaque-ports" in weft("-n", SPACE, "explain", "pod/page")
    apply(pod("left", python("x", SERVE), annotations={"weft.dev/inject": "disabled"}))
    assert "not in the mesh: annotation weft.dev/inject" in weft("-n", SPACE, "explain", "pod/left")


def test_a_sidecar_added_by_hand_works_without_the_webhook(space: str) -> None:
    """`weft inject --manual` gives a pod that the webhook leaves as it is, and that is in the mesh."""
    text = yaml.safe_dump(pod("manual", python("page", SERVE, readinessProbe=probe(8080))))
    kubectl("apply", "-f", "-", stdin=weft("-n", SPACE, "inject", "--manual", "-", stdin=text))

    eventually(lambda: ready("manual"), 240)
    assert "in the mesh" in weft("-n", SPACE, "explain", "pod/manual")
    assert events("manual", "Injected") == []


def test_a_route_that_never_gets_a_request_is_refused(space: str) -> None:
    """With its field and what to do."""
    done = run("kubectl", "apply", "-f", "-", stdin=PROFILE % SPACE, check=False)

    assert "spec.routes[1].condition: is never reached: routes[0] takes all its requests" in done.stderr


def test_profiles_of_documents_are_taken(space: str) -> None:
    """What `weft profile` makes of OpenAPI, of protobuf and to fill in is sound."""
    proto = "package tea; service Menu { rpc Get (A) returns (B) { option idempotency_level = IDEMPOTENT; } }"
    openapi = {"openapi": "3.1.0", "servers": [{"url": "/v1"}], "paths": {"/teas/{id}": {"get": {}}}}
    swagger = {"swagger": "2.0", "basePath": "/v1", "paths": {"/teas/{id}.json": {"get": {"x-weft-retryable": True}}}}
    made = [
        weft("-n", space, "profile", "page", "--open-api", "-", stdin=json.dumps(openapi)),
        weft("-n", space, "profile", "page", "--open-api", "-", stdin=json.dumps(swagger)),
        weft("-n", space, "profile", "page", "--proto", "-", stdin=proto),
        weft("-n", space, "profile", "page", "--template"),
    ]
    names = [route["name"] for text in made for route in yaml.safe_load(text)["spec"]["routes"]]
    assert names[:3] == ["GET /v1/teas/{id}", "GET /v1/teas/{id}.json", "POST /tea.Menu/Get"]
    kubectl("apply", "--dry-run=server", "-f", "-", stdin="---\n".join(made))


def test_a_learned_profile_names_the_routes(space: str, viz: None) -> None:
    """From live traffic, with ids as one parameter; once it is applied, metrics know the routes."""
    apply(pod("guest", python("guest", GUEST)))
    eventually(lambda: ready("page") and ready("guest"), 240)

    text = eventually(lambda: run_profile("5s"), 60)
    assert [route["name"] for route in yaml.safe_load(text)["spec"]["routes"]] == [
        "GET /pages/about",
        "GET /teas/{tea}",
    ]
    kubectl("apply", "-f", "-", stdin=text)

    eventually(lambda: "GET /teas/{tea}" in weft("-n", SPACE, "viz", "routes", "pod/guest"), 120)


def run_profile(duration: str) -> str:
    """The profile of Service page; empty while there is no traffic."""
    command = ["weft", "-n", SPACE, "viz", "profile", "page", "--tap", "pod/page", "--duration", duration]
    return run(*command, check=False).stdout
