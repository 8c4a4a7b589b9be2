"""install, upgrade, uninstall and their viz twins: what they print, and when they refuse."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from weft import gateway_api, installed, render
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import namespace, pod

CORE = """\
---
apiVersion: v1
kind: Namespace
metadata: {name: weft}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: serviceprofiles.weft.dev}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: weft-config, namespace: weft}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: weft-injector}
"""
VIZ = """\
---
apiVersion: v1
kind: Service
metadata: {name: grafana, namespace: weft}
---
apiVersion: v1
kind: Service
metadata: {name: tap, namespace: weft}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1alpha1.tap.weft.dev}
"""


@pytest.fixture(autouse=True)
def manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel with small manifests."""
    folder = tmp_path / "wheel" / "manifests"
    folder.mkdir(parents=True)
    (folder / "core.yaml").write_text(CORE)
    (folder / "viz.yaml").write_text(VIZ)
    monkeypatch.setattr(render, "HERE", folder.parent)


def apply(kube: FakeKube, text: str, **annotations: str) -> None:
    """kubectl apply."""
    for obj in render.parse(text):
        kube.put({**obj, "metadata": {**obj["metadata"], "annotations": annotations}})


def told(result: Result) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    return result.exit_code, result.stdout, result.stderr


def names(text: str) -> list[str]:
    """Kind and name of each object."""
    return [f"{obj['kind']}/{obj['metadata']['name']}" for obj in render.parse(text)]


def test_install_prints_the_packaged_manifests(weft: Any, kube: FakeKube) -> None:
    """Without options it needs nothing but the wheel and a cluster to look at."""
    assert told(weft("install")) == (0, CORE, "")
    assert kube.writes() != []  # the access reviews


@pytest.mark.parametrize("command", [["install"], ["viz", "install"], ["upgrade"]])
def test_ignore_cluster_asks_nobody(weft: Any, point_at: Any, command: list[str]) -> None:
    """Rendering works with no cluster at all."""
    point_at("http://127.0.0.1:1")
    assert weft(*command, "--ignore-cluster").exit_code == 0


def test_already_installed(weft: Any, kube: FakeKube) -> None:
    """Says how to change the installation instead, in the way it was made."""
    apply(kube, CORE)
    expected = "weft: weft is already installed in namespace weft. To change it: `{}`.\n"
    assert (1, "", expected.format("weft upgrade | kubectl apply -f -")) == told(weft("install"))
    apply(kube, CORE, **{"meta.helm.sh/release-name": "mesh"})
    assert (1, "", expected.format("helm upgrade")) == told(weft("install"))


def test_kinds_of_the_gateway_api(weft: Any, kube: FakeKube) -> None:
    """Those that the cluster lacks, before weft is installed and after; what is there stays as it is."""
    apply(kube, CORE)
    kinds = [f"CustomResourceDefinition/{kind}.gateway.networking.k8s.io" for kind in gateway_api.SERVED]
    result = weft("install", "--crds")
    assert (result.exit_code, names(result.stdout), result.stderr) == (0, kinds, "")
    apply(kube, gateway_api.definition("httproutes"), **{gateway_api.BUNDLE: "v1.2.0"})
    result = weft("install", "--crds")
    assert (names(result.stdout), result.stderr) == (kinds[1:], "httproutes: already installed, v1.2.0\n")
    assert weft("install", "--crds", "--set", "a=b").exit_code == 1


def test_the_bundled_kinds_are_served_as_weft_reads_them() -> None:
    """Each in the version that destination watches, all of one release."""
    crds = {kind: render.parse(gateway_api.definition(kind))[0] for kind in gateway_api.SERVED}
    assert all(gateway_api.serves(kind, crd) for kind, crd in crds.items())
    assert {gateway_api.version(crd) for crd in crds.values()} == {"v1.7.0"}


def test_old_kubernetes(weft: Any, kube: FakeKube) -> None:
    """Native sidecars are on by default since 1.29."""
    kube.on_request("GET", "/version", lambda _: {"major": "1", "minor": "28+"})
    expected = (
        "weft: Kubernetes is 1.28, and weft needs native sidecars. Upgrade the cluster to 1.29 or newer. "
        "`--ignore-cluster` renders anyway.\n"
    )
    assert (1, "", expected) == told(weft("install"))


def test_no_permission(weft: Any, kube: FakeKube) -> None:
    """Names what the user may not create."""

    def review(request: Any) -> dict[str, Any]:
        return {"status": {"allowed": request.body["spec"]["resourceAttributes"]["resource"] != "clusterroles"}}

    kube.on_request("POST", ".*/selfsubjectaccessreviews", review)
    result = weft("install")
    assert result.stderr.startswith("weft: no permission to create clusterroles.rbac.authorization.k8s.io. Ask")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)


def test_no_cluster(weft: Any, point_at: Any) -> None:
    """Names the address and the reason."""
    point_at("http://127.0.0.1:1")
    expected = (
        "weft: cannot reach the cluster at http://127.0.0.1:1: Connection refused. "
        "Start it, or choose another by --context or --kubeconfig. `--ignore-cluster` renders anyway.\n"
    )
    assert (1, "", expected) == told(weft("install"))


@pytest.mark.parametrize("content", [None, "", "{", "- a", "just words", "clusters: 5"])
def test_no_kubeconfig(weft: Any, tmp_path: Path, content: str | None) -> None:
    """A file that is not there, or is none, is one line, too."""
    if content is not None:
        (tmp_path / "config").write_text(content)
    result = weft("install", "--kubeconfig", str(tmp_path / "config"))
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert result.stderr.startswith("weft: no cluster: ")


def test_forbidden_is_no_absence(weft: Any, kube: FakeKube) -> None:
    """A cluster that does not tell whether weft is there is not taken for an empty one."""
    kube.on_request("GET", ".*/configmaps/weft-config", lambda _: (403, {"message": "configmaps is forbidden"}))
    result = weft("install")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("weft: no permission: configmaps is forbidden.")


def test_upgrade_includes_viz_when_it_is_there(weft: Any, kube: FakeKube) -> None:
    """One command brings all that is installed to the CLI's version."""
    apply(kube, CORE)
    assert told(weft("upgrade")) == (0, CORE, "")
    apply(kube, VIZ)
    assert told(weft("upgrade")) == (0, CORE + VIZ, "")


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A helm that writes its arguments to this file; beside it, `rendered` is what it renders, CORE.

    `kept` becomes what it was given of the installation.
    """
    log, folder = tmp_path / "arguments", tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "rendered").write_text(CORE)
    keep = f"for one; do case $one in --values=*/kept.json) cp ${{one#--values=}} {tmp_path}/kept; esac; done"
    script = f'printf "%s\\n" "$@" > {log}\n{keep}\ncat {tmp_path}/rendered'
    (folder / "helm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "helm").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    (render.HERE / "chart").mkdir()
    (render.HERE / "chart" / "Chart.yaml").touch()
    return log


def set_on(kube: FakeKube, name: str, settings: str) -> None:
    """The installation's ConfigMap that knows what was set."""
    meta = {"name": name, "namespace": "weft"}
    kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"settings": settings}})


def test_upgrade_keeps_what_was_set(weft: Any, kube: FakeKube, helm: Path) -> None:
    """Of the mesh and of viz, and says so; `helm upgrade` without values does the same."""
    apply(kube, CORE)
    set_on(kube, "weft-config", "destination: {replicas: 3}")
    set_on(kube, "weft-viz-config", "grafana: {enabled: false}")

    result = weft("upgrade")

    kept = '{"destination": {"replicas": 3}, "viz": {"grafana": {"enabled": false}}}'
    assert told(result)[::2] == (0, f"as the installation has it: {kept}\n")
    assert kept == helm.with_name("kept").read_text()


def test_upgrade_takes_what_is_set_now(weft: Any, kube: FakeKube, helm: Path) -> None:
    """A file of values is the whole truth, as with helm: what it no longer has is no longer set."""
    apply(kube, CORE)
    set_on(kube, "weft-config", "destination: {replicas: 3}")

    assert weft("upgrade", "--set", "identity.replicas=2").exit_code == 0
    assert helm.read_text().splitlines()[-1] == "--set=identity.replicas=2"
    assert not helm.with_name("kept").exists()


def test_upgrade_needs_an_installation(weft: Any, kube: FakeKube) -> None:
    """Else the user is told to install."""
    expected = "weft: weft is not installed in this cluster. Run `weft install | kubectl apply -f -` first.\n"
    assert (1, "", expected) == told(weft("upgrade"))


def test_viz_install(weft: Any, kube: FakeKube) -> None:
    """Needs weft, and refuses a second time."""
    assert weft("viz", "install").exit_code == 1
    apply(kube, CORE)
    assert told(weft("viz", "install")) == (0, VIZ, "")
    apply(kube, VIZ)
    expected = "weft: viz is already installed. To update it: `weft upgrade | kubectl apply -f -`.\n"
    assert (1, "", expected) == told(weft("viz", "install"))


@pytest.mark.parametrize("more", [[], ["--set=viz.grafana.enabled=false"]], ids=["as it is", "with more"])
def test_viz_install_fits_the_installation(weft: Any, kube: FakeKube, helm: Path, more: list[str]) -> None:
    """Registry, trust domain and whatever else is set of the mesh hold for viz; what is set now comes on top."""
    apply(kube, CORE)
    set_on(kube, "weft-config", "global: {trustDomain: corp}")
    helm.with_name("rendered").write_text(CORE + VIZ.replace("---", "---\n# Source: weft/charts/viz/templates/x.yaml"))

    result = weft("viz", "install", *more)

    kept = '{"global": {"trustDomain": "corp"}}'
    assert (0, f"as the installation has it: {kept}\n") == (result.exit_code, result.stderr)
    assert names(VIZ) == names(result.stdout)
    assert (kept, more) == (helm.with_name("kept").read_text(), helm.read_text().splitlines()[8:])


def test_uninstall_deletes_callers_first(weft: Any, kube: FakeKube, same: Any) -> None:
    """Webhooks first, so that nothing is refused by a webhook that is gone; CRDs stay.

    Bundles in other namespaces come last: identity would publish them anew.
    """
    apply(kube, CORE)
    for place in ("weft", "teahouse"):
        meta = {"name": "weft-trust-bundle", "namespace": place}
        kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    expected = [
        "MutatingWebhookConfiguration/weft-injector",
        "ConfigMap/weft-config",
        "Namespace/weft",
        "ConfigMap/weft-trust-bundle",
    ]
    result = weft("uninstall")
    assert (0, expected, "") == (result.exit_code, names(result.stdout), result.stderr)
    same("uninstall.txt", result.stdout)


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ("ConfigMap/weft-config", ["MutatingWebhookConfiguration/weft-injector", "Namespace/weft"]),
        ("Namespace/weft", ["MutatingWebhookConfiguration/weft-injector", "ConfigMap/weft-config"]),
    ],
)
def test_uninstall_of_half_an_installation(weft: Any, kube: FakeKube, gone: str, left: list[str]) -> None:
    """Whatever is there is deleted, also without the objects by which an installation is known."""
    for obj in render.parse(CORE):
        if f"{obj['kind']}/{obj['metadata']['name']}" != gone:
            kube.put(obj)
    result = weft("uninstall")
    assert (0, left, "") == (result.exit_code, names(result.stdout), result.stderr)


@pytest.mark.parametrize(("command", "what"), [(["uninstall"], "weft"), (["viz", "uninstall"], "viz")])
def test_uninstall_of_nothing(weft: Any, kube: FakeKube, command: list[str], what: str) -> None:
    """CustomResourceDefinitions, which stay by design, are no installation."""
    apply(kube, CORE.split("---\n")[2])
    expected = f"weft: {what} is not installed in this cluster. There is nothing to delete.\n"
    assert (1, "", expected) == told(weft(*command))


def test_uninstall_leaves_helm_its_own(weft: Any, kube: FakeKube) -> None:
    """Any object that carries the mark of a release tells whose the installation is."""
    apply(kube, CORE.split("---\n")[4], **{"meta.helm.sh/release-name": "mesh"})
    expected = "weft: this installation belongs to the Helm release 'mesh'. Use `helm uninstall`.\n"
    assert (1, "", expected) == told(weft("uninstall"))


def test_uninstall_refuses_while_in_use(weft: Any, kube: FakeKube, same: Any) -> None:
    """Pods with a proxy would be cut off; --force goes on all the same."""
    apply(kube, CORE)
    kube.put(namespace("teahouse"))
    kube.put(pod("teahouse", "counter-1", labels={"weft.dev/proxy-version": "0.1.0"}))
    kube.put(pod("weft", "identity-1", labels={"weft.dev/proxy-version": "0.1.0"}))
    result = weft("uninstall")
    assert (result.exit_code, result.stdout) == (1, "")
    same("uninstall-in-use.stderr", result.stderr)
    assert weft("uninstall", "--force").exit_code == 0


def test_uninstall_refuses_while_viz_is_there(weft: Any, kube: FakeKube) -> None:
    """viz goes first."""
    apply(kube, CORE + VIZ)
    expected = "weft: viz is still installed. Run `weft viz uninstall | kubectl delete -f -` first, or --force.\n"
    assert (1, "", expected) == told(weft("uninstall"))


def test_viz_uninstall_names_only_what_is_there(weft: Any, kube: FakeKube, same: Any) -> None:
    """kubectl would fail on objects that an installation without Grafana never had."""
    apply(kube, CORE + VIZ)
    kube.delete({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "grafana", "namespace": "weft"}})
    expected = ["APIService/v1alpha1.tap.weft.dev", "Service/tap"]
    found = weft("viz", "uninstall").stdout
    assert expected == names(found)
    same("viz-uninstall.txt", found)
    kube.delete({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                 "metadata": {"name": "v1alpha1.tap.weft.dev"}})  # fmt: skip
    assert expected[1:] == names(weft("viz", "uninstall").stdout)


def test_viz_uninstall_deletes_what_settings_brought(weft: Any, kube: FakeKube) -> None:
    """Replicas bring a budget, global.networkPolicies one policy a service; those of the mesh stay."""
    apply(kube, CORE + VIZ)
    for example in installed.ON_REQUEST:
        for name in ("tap", "identity"):
            kube.put({**example, "metadata": {**example["metadata"], "name": name}})
    expected = {"PodDisruptionBudget/tap", "NetworkPolicy/tap"}
    assert set(names(VIZ)) | expected == set(names(weft("viz", "uninstall").stdout))


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubectl that writes its arguments and what it is given to a file."""
    log, folder = tmp_path / "applied", tmp_path / "bin"
    folder.mkdir()
    (folder / "kubectl").write_text(f'#!/bin/sh\necho "$@" > {log}\ncat >> {log}\necho namespace/weft created\n')
    (folder / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return log


def test_install_applies_by_kubectl(weft: Any, kube: FakeKube, kubectl: Path) -> None:
    """With the same context and user; what kubectl says goes to stderr, so that stdout holds data only."""
    chosen = ("--context", "test", "--as", "bob", "--as-group", "dev")
    assert told(weft("install", "--apply", *chosen)) == (0, "", "namespace/weft created\n")
    assert kubectl.read_text() == f"--context=test --as=bob --as-group=dev apply -f -\n{CORE}"


@pytest.mark.parametrize(
    ("applied", "step"),
    [("namespace/weft created\n", "What it says above is applied already."), ("", "Nothing was applied.")],
    ids=["half way", "at once"],
)
def test_kubectl_fails(weft: Any, kube: FakeKube, kubectl: Path, applied: str, step: str) -> None:
    """What it did before stands above; cause and state are one line, and nothing is waited for."""
    script = f"#!/bin/sh\nprintf '{applied}'\necho 'error: the server\nis away' >&2\nexit 1\n"
    (kubectl.with_name("bin") / "kubectl").write_text(script)
    error = f"weft: kubectl could not apply the manifests: error: the server is away. {step}\n"
    assert (1, "", applied + error) == told(weft("install", "--apply", "--wait"))


def test_install_waits_until_all_is_ready(weft: Any, kube: FakeKube, kubectl: Path) -> None:
    """And names what is not, with its next step."""
    result = weft("install", "--apply", "--wait", "0s")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        "weft: the control plane is installed: there is no ConfigMap weft-config in namespace weft. "
        "Run `weft install | kubectl apply -f -`."
    )


def test_wait_without_apply(weft: Any, kube: FakeKube) -> None:
    """Nothing that was accepted is ignored in silence."""
    assert weft("install", "--wait").stderr.startswith("weft: --wait goes with --apply.")


def test_apply_without_kubectl(weft: Any, kube: FakeKube, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named as what is missing."""
    monkeypatch.setenv("PATH", "")
    assert weft("install", "--apply").stderr.startswith("weft: --apply needs kubectl, which is not on PATH.")


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ("1.5.0", "the control plane is 1.5.0, newer than this CLI (1.4.2)"),
        ("1.4.9", ""),
        ("1.3.0", ""),
        ("1.2.9", "Upgrade to 1.3 first"),
        ("x", ""),
    ],
)
def test_upgrade_goes_one_minor_version_up(
    weft: Any, kube: FakeKube, monkeypatch: pytest.MonkeyPatch, installed: str, expected: str
) -> None:
    """And never back."""
    monkeypatch.setattr("weft.version", lambda: "1.4.2")
    apply(kube, CORE)
    config = kube.get("/api/v1/namespaces/weft/configmaps/weft-config")
    kube.put({**config, "apiVersion": "v1", "kind": "ConfigMap", "data": {"version": installed}})
    result = weft("upgrade")
    assert (result.exit_code, expected in result.stderr) == (1 if expected else 0, True)


def test_prune_names_what_is_left_over(weft: Any, kube: FakeKube, same: Any) -> None:
    """Objects of weft that this version does not have; others are none of its business."""
    apply(kube, CORE)
    assert told(weft("prune")) == (0, "", "nothing is left over\n")
    for name, labels in (("weft-old", {"app.kubernetes.io/part-of": "weft"}), ("mine", {})):
        meta = {"name": name, "namespace": "weft", "labels": labels}
        kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    same("prune.txt", weft("prune").stdout)


def test_prune_knows_what_is_set(weft: Any, kube: FakeKube, helm: Path) -> None:
    """What settings bring is no leftover of theirs; what former settings brought is."""
    apply(kube, CORE)
    set_on(kube, "weft-config", "{a: 1}")
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}
    for name in ("kept", "former"):
        meta = {"name": name, "namespace": "weft", "labels": {"app.kubernetes.io/part-of": "weft"}}
        kube.put({**budget, "metadata": meta})
    more = "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: kept, namespace: weft}\n"
    helm.with_name("rendered").write_text(CORE + more)

    assert names(weft("prune").stdout) == ["PodDisruptionBudget/former"]


def test_prune_leaves_helm_its_own(weft: Any, kube: FakeKube) -> None:
    """And says so where nothing is installed."""
    assert weft("prune").stderr.startswith("weft: weft is not installed in this cluster.")
    apply(kube, CORE, **{"meta.helm.sh/release-name": "mesh"})
    assert "belongs to the Helm release 'mesh'" in weft("prune").stderr
