"""The chart in two parts, in the order to apply."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from weft import render

HELM = """\
---
# Source: weft/templates/webhook.yaml
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: weft-injector}
---
# Source: weft/templates/config.yaml
apiVersion: v1
kind: ConfigMap
metadata: {name: weft-config}
data:
  text: |
    a
     ---
    b
---
# Source: weft/charts/viz/templates/tap/apiservice.yaml
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1alpha1.tap.weft.dev}
---
# Source: weft/charts/viz/templates/tap/lease.yaml
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: tap}
---
# Source: weft/templates/empty.yaml
---
# Source: weft/templates/namespace.yaml
apiVersion: v1
kind: Namespace
metadata: {name: weft}
"""


def fake_helm(folder: Path, script: str) -> str:
    """A folder for PATH with a `helm` that runs this script."""
    helm = folder / "helm"
    helm.write_text(f"#!/bin/sh\n{script}\n")
    helm.chmod(helm.stat().st_mode | stat.S_IXUSR)
    return str(folder) + os.pathsep + os.environ["PATH"]


def kinds(text: str) -> list[str]:
    """Kinds of a manifest's objects."""
    return [obj["kind"] for obj in render.parse(text)]


def test_split_by_source_and_sort_by_kind() -> None:
    """What comes from charts/viz is viz's; the namespace is first, webhooks and APIService are last."""
    manifests = render.split(HELM)
    assert kinds(manifests.core) == ["Namespace", "ConfigMap", "MutatingWebhookConfiguration"]
    assert kinds(manifests.viz) == ["Lease", "APIService"]


def test_split_keeps_what_looks_like_a_separator() -> None:
    """An indented --- belongs to the text around it."""
    config = render.parse(render.split(HELM).core)[1]
    assert config["data"] == {"text": "a\n ---\nb\n"}


def test_module_writes_both_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m weft.render CHART OUTDIR`, as `make manifests` calls it."""
    (tmp_path / "out.yaml").write_text(HELM)
    monkeypatch.setenv("PATH", fake_helm(tmp_path, f"cat {tmp_path}/out.yaml"))
    render.main(["chart", str(tmp_path / "manifests")])
    assert render.split(HELM).core == (tmp_path / "manifests" / "core.yaml").read_text()
    assert render.split(HELM).viz == (tmp_path / "manifests" / "viz.yaml").read_text()


def test_set_and_values_go_to_helm(weft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chart is rendered by helm, with the namespace and viz, and the user's values last."""
    monkeypatch.setenv("PATH", fake_helm(tmp_path, f'echo "$@" > {tmp_path}/arguments'))
    weft("install", "--ignore-cluster", "--set", "a=b", "-f", "c.yaml")
    expected = [
        *("template", "weft", str(render.chart()), "--namespace", "weft"),
        *("--set", "installNamespace=true,viz.enabled=true", "--values=c.yaml", "--set=a=b"),
    ]
    assert expected == (tmp_path / "arguments").read_text().split()


def test_helm_missing(weft: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """--set without helm is one line."""
    monkeypatch.setenv("PATH", "")
    result = weft("install", "--ignore-cluster", "--set", "a=b")
    expected = "weft: what is set needs helm to be rendered, which is not on PATH. Install it from https://helm.sh.\n"
    assert (1, "", expected) == (result.exit_code, result.stdout, result.stderr)


def test_helm_refuses(weft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What helm says becomes one line."""
    monkeypatch.setenv("PATH", fake_helm(tmp_path, "echo 'Error: no\n- such value' >&2; exit 1"))
    result = weft("install", "--ignore-cluster", "--set", "a=b")
    expected = "weft: helm cannot render the chart: no - such value. Correct --set or --values.\n"
    assert (1, "", expected) == (result.exit_code, result.stdout, result.stderr)


def test_manifests_missing(weft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout in which `make manifests` did not run says so."""
    monkeypatch.setattr(render, "HERE", tmp_path)
    result = weft("install", "--ignore-cluster")
    expected = "weft: the rendered manifests are missing from this checkout. Run `make manifests`.\n"
    assert (1, "", expected) == (result.exit_code, result.stdout, result.stderr)
