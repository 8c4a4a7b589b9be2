"""Away and back: uninstall by the CLI, then by Helm as in production. Last, since it takes the mesh away."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import traffic
import yaml
from guide import follow, shown
from inventory import everything, keys, left, pods, remembered, settings
from lab import ROOT, eventually, forward, get, kubectl, one_line_error, rolled_out, run, weft
from weft.client_exposed import Exposed
from weft.errors import Failure

PRODUCTION, AVAILABILITY = "operations/production.md", "operations/availability.md"
SERVICES = ("destination", "identity", "injector", "spValidator")
REPLICAS = {"destination": 3, "identity": 3, "injector": 3, "sp-validator": 2}


@pytest.fixture(scope="module")
def gone(viz: None) -> None:
    """As the guide takes it away, once nobody has a proxy."""
    eventually(lambda: not meshed(), 120)
    follow("getting-started.md", "uninstall")
    eventually(lambda: "namespace/weft" not in kubectl("get", "namespaces", "-o", "name").split(), 120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the operator is: the chart, and a file of values."""
    path = tmp_path_factory.mktemp("operator")
    (path / "charts").symlink_to(ROOT / "charts")
    (path / "weft.yaml").write_text(yaml.safe_dump(values()))
    return path


def values() -> dict[str, Any]:
    """The guide's weft.yaml, but for Grafana, and with replicas that fit on a node of two cores."""
    given: dict[str, Any] = yaml.safe_load(shown(PRODUCTION, "weft.yaml"))
    given["viz"]["grafana"] = {"enabled": False}
    return given | {name: {"resources": {"requests": {"cpu": "10m"}}} for name in SERVICES}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[tuple[Path, str]]]:
    """One unit's release in a clone, made while other tests wait: the clone, and the image's archive."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit(released, tmp_path_factory.mktemp("release"))


def released(clone: Path) -> tuple[Path, str]:
    """make release UNIT=destination VERSION=9.0.0, but for its tests, which run anyway."""
    run("git", "clone", "-q", "--shared", str(ROOT), str(clone))
    git = ("git", "-C", str(clone))
    run(*git, "config", "user.name", "test")
    run(*git, "config", "user.email", "test@example.org")
    (clone / "changes/destination").mkdir(parents=True, exist_ok=True)
    (clone / "changes/destination/alone.md").write_text("Is released alone.\n")
    run(*git, "add", "--all")
    run(*git, "commit", "-q", "-m", "A change")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["make", "-s", "release", "run=env", "UNIT=destination", "VERSION=9.0.0", "CHECK=true"]
    done = subprocess.run(
        command, cwd=clone, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return clone, done.stdout.splitlines()[-1]


def meshed() -> list[str]:
    """Pods with a proxy that are none of weft's own: those of other tests end in their own time."""
    found = get("pods", "-A", "-l", "weft.dev/proxy-version")["items"]
    return [pod["metadata"]["name"] for pod in found if pod["metadata"]["namespace"] not in ("weft", "teahouse")]


def nothing_left(before: set[str]) -> bool:
    """The garbage collector has been there too."""
    assert left(before, everything()) == []
    return True


@pytest.mark.usefixtures("release", "gone")
def test_uninstall_leaves_nothing() -> None:
    """The cluster is what it was before weft was installed."""
    if not (before := remembered()):
        pytest.skip("weft was installed before the suite: nobody knows what the cluster was without it")
    eventually(lambda: nothing_left(before), 90, 2)


def test_check_says_that_nothing_is_installed(gone: None) -> None:
    """Without a control plane check fails and names the next step."""
    done = run("weft", "check", "--wait", "0s", check=False)

    assert done.returncode == 1
    assert "weft install" in done.stdout + done.stderr


def test_one_command_installs_and_waits(gone: None) -> None:
    """`--apply --wait` ends when all is ready: check then holds without waiting."""
    try:
        done = run("weft", "install", "--apply", "--wait")
        assert (done.stdout, done.stderr.splitlines()[-1]) == ("", "Status check results are √")
        weft("check", "--wait", "0s")
    finally:
        kubectl("delete", "--ignore-not-found", "-f", "-", stdin=weft("uninstall"))
    eventually(lambda: "namespace/weft" not in kubectl("get", "namespaces", "-o", "name").split(), 120)


@pytest.fixture(scope="module")
def by_helm(gone: None, folder: Path) -> Iterator[set[str]]:
    """As the guide installs it for production, and traffic that flows; what there was before."""
    before = everything()
    follow(PRODUCTION, "install", folder)
    with traffic.running(50):
        yield before


def test_helm_installs_what_the_cli_prints(by_helm: object, folder: Path) -> None:
    """The same objects, but for the namespace, which Helm makes without a manifest; and the CLI leaves Helm its own."""
    manifest = run("helm", "get", "manifest", "weft", "-n", "weft").stdout
    printed = [
        weft(*command, "install", "--ignore-cluster", "--values", str(folder / "weft.yaml"))
        for command in ((), ("viz",))
    ]

    assert named(manifest) == {key: obj for key, obj in named("\n".join(printed)).items() if key != "Namespace weft"}
    assert "helm upgrade" in one_line_error(run("weft", "install", check=False))
    assert "helm upgrade" in one_line_error(run("weft", "upgrade", check=False))


def test_pods_of_a_release_fit_pod_security_restricted(by_helm: object) -> None:
    """The guide gives Helm's namespace its label; the upgrade below makes every pod anew under it."""
    labels = get("namespace", "weft")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def named(manifest: str) -> dict[str, object]:
    """A manifest's objects by kind and name."""
    objects = (obj for obj in yaml.load_all(manifest, yaml.CSafeLoader) if obj)
    return {f"{obj['kind']} {obj['metadata']['name']}": obj for obj in objects}


def test_pods_are_redirected_by_either_iptables(by_helm: object) -> None:
    """In both families, where the kernel has both; from an image without a shell."""
    traffic.fresh_pod("legacy", annotations={"config.weft.dev/iptables-backend": "legacy"})
    kubectl("-n", traffic.NAMESPACE, "wait", "pod/legacy", "--for=condition=Ready", "--timeout=60s")

    logs = [
        kubectl("-n", traffic.NAMESPACE, "logs", pod, "-c", "weft-init")
        for pod in ("legacy", f"deploy/{traffic.SERVER}")
    ]
    assert ["IPv4 redirected" in log and "IPv6" in log for log in logs] == [True, True]
    traffic.gone("legacy")


def test_upgrade_and_rollback_lose_nothing(by_helm: object, folder: Path) -> None:
    """From one replica to several and back: every pod is replaced, no request fails, keys and settings stay."""
    first, kept, was = pods(), keys(), settings()

    with traffic.lossless():
        follow(AVAILABILITY, "ha", folder)
        found = {one["metadata"]["name"]: one["spec"]["replicas"] for one in get("deploy", "-n", "weft")["items"]}
        assert found.items() >= REPLICAS.items()
        assert {name for name in pods() if first.get(name) in REPLICAS} == set()
        follow(PRODUCTION, "rollback", folder)

    assert (keys(), settings()) == (kept, was)
    again = pods()
    follow(PRODUCTION, "upgrade", folder)
    assert pods() == again, "nothing was changed, and something was restarted"


def test_a_unit_is_released_and_upgraded_alone(
    by_helm: object, folder: Path, release: Future[tuple[Path, str]]
) -> None:
    """Its release pins it in the chart, and the upgrade to that chart restarts its pods and no others."""
    clone, archive = release.result()
    run(str(ROOT / "tests/cluster/cluster"), "load", archive)
    before = pods()

    with traffic.lossless():
        chart, values = str(clone / "charts/mesh"), str(folder / "weft.yaml")
        run("helm", "upgrade", "weft", chart, "-n", "weft", "--values", values, "--wait")
        eventually(lambda: list(pods().values()).count("destination") == 1)
        weft("check")

    after = pods()
    (container,) = get("deploy", "destination", "-n", "weft")["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith("destination:9.0.0")
    assert {unit for name, unit in before.items() if name not in after} == {"destination"}


def test_another_prometheus_takes_over(by_helm: object, folder: Path) -> None:
    """It has the jobs and rules of the chart's, and runs before that goes; web asks it, and check is content."""
    own = get("deploy", "prometheus", "-n", "weft")["spec"]["template"]["spec"]
    kubectl("create", "namespace", "monitoring")
    try:
        follow(PRODUCTION, "prometheus", folder)
        kubectl("-n", "monitoring", "apply", "-f", "-", stdin=json.dumps(prometheus(own)))
        rolled_out("monitoring", "prometheus")
        follow(PRODUCTION, "other-prometheus", folder)
        eventually(lambda: "prometheus" not in pods().values())
        eventually(requests_a_second, 90, 1)
    finally:
        kubectl("delete", "namespace", "monitoring", "--wait=false")


def prometheus(spec: dict[str, object]) -> dict[str, object]:
    """Another, with the pod of the chart's, and the address that charts/mesh/examples/prometheus.yaml names."""
    labels = {"app": "prometheus"}
    pod = {key: value for key, value in spec.items() if not key.startswith("serviceAccount")}
    body = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    meta = {"name": "prometheus"}
    service = {"selector": labels, "ports": [{"port": 9090}]}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": body}
    items = [deployment, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service}]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def requests_a_second() -> float:
    """What web knows of the traffic; it began to be counted with this Prometheus."""
    stat = json.loads(weft("-n", traffic.NAMESPACE, "viz", "stat", f"deploy/{traffic.SERVER}", "-o", "json"))
    return float(stat["rows"][0]["rps"] or 0)


def test_an_exposed_web_asks_kubernetes_about_its_callers(by_helm: object) -> None:
    """Who they are, for each namespace whether they may list its pods, and whether they may watch taps."""
    values = ("--reuse-values", "--set", "viz.web.expose=true")
    run("helm", "upgrade", "weft", "charts/mesh", "-n", "weft", *values, "--wait")
    kubectl("-n", traffic.NAMESPACE, "create", "serviceaccount", "viewer")
    may("list", "", "pods")
    tapped = {"namespace": traffic.NAMESPACE, "kind": "deploy", "name": traffic.SERVER}
    with forward("weft", "svc/web", 8084) as url:
        with pytest.raises(Failure, match="this server wants a Kubernetes token"):
            Exposed(url).stat("deployment")
        client = Exposed(url, kubectl("-n", traffic.NAMESPACE, "create", "token", "viewer").strip())
        rows = client.stat("deployment", namespace=traffic.NAMESPACE)["rows"]
        assert traffic.SERVER in {row["name"] for row in rows}
        for elsewhere in ("weft", "*"):
            with pytest.raises(Failure, match="viewer may not list pods"):
                client.stat("deployment", namespace=elsewhere)
        with pytest.raises(Failure, match="viewer may not watch deployments/tap"):
            next(client.events("tap", **tapped))
        may("watch", "tap.weft.dev", "deployments/tap")
        assert eventually(lambda: tap_of(client, tapped))["path"] == "/charge"


def may(verb: str, group: str, resource: str) -> None:
    """Gives the viewer a right in the traffic's namespace."""
    meta = {"name": verb, "namespace": traffic.NAMESPACE}
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": meta}
    viewer = {"kind": "ServiceAccount", "name": "viewer", "namespace": traffic.NAMESPACE}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": verb}
    role = kind | {"kind": "Role", "rules": [{"apiGroups": [group], "resources": [resource], "verbs": [verb]}]}
    items = [role, kind | {"kind": "RoleBinding", "roleRef": ref, "subjects": [viewer]}]
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def tap_of(client: Exposed, what: dict[str, str]) -> dict[str, Any]:
    """A call that it sees; what Kubernetes said of a caller is held for some seconds."""
    try:
        return next(event for event in client.events("tap", **what) if "path" in event)
    except Failure as refusal:
        raise AssertionError(str(refusal)) from refusal


def test_helm_uninstall_leaves_nothing(by_helm: set[str], folder: Path) -> None:
    """As the uninstall by the CLI."""
    follow(PRODUCTION, "uninstall", folder)
    eventually(lambda: nothing_left(by_helm), 90, 2)
