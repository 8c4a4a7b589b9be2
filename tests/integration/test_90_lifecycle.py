"""Away and back: uninstall by the CLI, then the same mesh by Helm. Last, since it takes the mesh away."""

import base64

import pytest
from lab import ROOT, TEAHOUSE, eventually, get, kubectl, one_line_error, run, weft

CHART = str(ROOT / "charts" / "mesh")
KINDS = (
    "deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,"
    "mutatingwebhookconfigurations,validatingwebhookconfigurations,apiservices"
)


@pytest.fixture(scope="module")
def gone(viz: None) -> None:
    """weft viz uninstall | kubectl delete -f -; weft uninstall | kubectl delete -f -."""
    kubectl("delete", "-f", str(TEAHOUSE), "--ignore-not-found", "--wait=true")
    kubectl("delete", "-f", "-", stdin=weft("viz", "uninstall"))
    kubectl("delete", "-f", "-", stdin=weft("uninstall"), timeout=300)
    eventually(lambda: "namespace/weft" not in kubectl("get", "namespaces", "-o", "name").split(), 120)


def mesh_objects() -> list[str]:
    """Everything of ours that is left; the kind ServiceProfile (and with it v1alpha1.weft.dev) is kept on purpose."""
    lines = kubectl("get", KINDS, "-A", "-o", "name").split()
    return [line for line in lines if "weft" in line and not line.endswith("/v1alpha1.weft.dev")]


def nothing_left() -> bool:
    """The garbage collector has been there too."""
    assert mesh_objects() == []
    return True


def test_uninstall_leaves_nothing(gone: None) -> None:
    """No object of ours is left in the cluster."""
    eventually(nothing_left, 90)


def test_check_says_that_nothing_is_installed(gone: None) -> None:
    """Without a control plane check fails and names the next step."""
    done = run("weft", "check", "--wait", "0s", check=False)

    assert done.returncode == 1
    assert "weft install" in done.stdout + done.stderr


def test_helm_installs_the_same_mesh_and_an_upgrade_keeps_the_keys(gone: None) -> None:
    """helm install, upgrade, uninstall: as `weft install`, and anchor and issuer survive."""
    values = ["--set", "viz.enabled=true,viz.grafana.enabled=false", "--wait", "--timeout", "4m"]
    run("helm", "install", "weft", CHART, "-n", "weft", "--create-namespace", *values)
    weft("check")
    anchor = secret("weft-trust-anchor")

    run(
        "helm",
        "upgrade",
        "weft",
        CHART,
        "-n",
        "weft",
        *values,
        "--set",
        "global.logLevel=debug",
        "--wait",
        "--timeout",
        "4m",
    )
    weft("check")
    assert anchor == secret("weft-trust-anchor")
    assert "helm upgrade" in one_line_error(run("weft", "install", check=False))

    run("helm", "uninstall", "weft", "-n", "weft", "--wait")
    kubectl("delete", "namespace", "weft")
    eventually(nothing_left, 90)


def secret(name: str) -> bytes:
    """A Secret's certificate; its key is never read by a test."""
    return base64.b64decode(get("secret", name, "-n", "weft")["data"]["ca.crt"])
