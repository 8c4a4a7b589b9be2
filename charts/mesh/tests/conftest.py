"""The chart, rendered by helm as users render it."""

import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]

CHART = Path(__file__).parents[1]
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job")


class Objects(list[Json]):
    """Rendered objects, in helm's order."""

    def of(self, *kinds: str) -> list[Json]:
        """Those of some kinds."""
        return [obj for obj in self if obj["kind"] in kinds]

    def one(self, kind: str, name: str) -> Json:
        """The one of this kind and name."""
        (found,) = [obj for obj in self.of(kind) if obj["metadata"]["name"] == name]
        return found

    def pods(self) -> dict[str, Json]:
        """Specs of all workloads' pods, by the workload's name."""
        return {obj["metadata"]["name"]: obj["spec"]["template"]["spec"] for obj in self.of(*WORKLOADS)}

    def containers(self) -> Iterator[tuple[str, Json]]:
        """Workload's name and container, init containers included."""
        for name, spec in self.pods().items():
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                yield name, container


class Refused(Exception):  # noqa: N818 (it is the chart that errs)
    """helm would not render."""


class Helm:
    """Renders the chart; what was rendered once is kept."""

    def __init__(self, binary: str) -> None:
        self._binary = binary

    @functools.cache  # noqa: B019 (one for the session)
    def render(self, *settings: str, release: str = "weft", namespace: str = "weft", values: str = "") -> Objects:
        """The objects with these `--set` settings, upon a file of values of the chart; Refused with helm's reason."""
        given = [argument for setting in settings for argument in ("--set", setting)]
        given += ["--values", str(CHART / values)] if values else []
        done = self.run("template", release, str(CHART), "--namespace", namespace, *given)
        return Objects(obj for obj in yaml.load_all(done, yaml.CSafeLoader) if obj)

    def run(self, *arguments: str) -> str:
        """What helm prints."""
        done = subprocess.run([self._binary, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(done.stderr or done.stdout)
        return done.stdout


@pytest.fixture(scope="session")
def helm() -> Helm:
    """The helm on PATH."""
    binary = shutil.which("helm")
    if binary is None:
        pytest.fail("helm is not on PATH; `make chart-test` brings one along")
    return Helm(binary)


@pytest.fixture(scope="session")
def mesh(helm: Helm) -> Objects:
    """All objects, with viz and the namespace: as `weft install` and `weft viz install` render them."""
    return helm.render("viz.enabled=true", "installNamespace=true")


@pytest.fixture(scope="session")
def everything(helm: Helm) -> Objects:
    """All objects with all that is optional, and several replicas."""
    on = [*switches(CHART / "values.yaml", ""), *switches(CHART / "charts/viz/values.yaml", "viz.")]
    return helm.render(*on, "viz.tap.replicas=2", values="values-ha.yaml")


def switches(file: Path, prefix: str) -> list[str]:
    """Whatever is off by default in a file of values, switched on."""

    def off(values: Json, prefix: str) -> Iterator[str]:
        for key, value in values.items():
            if isinstance(value, dict):
                yield from off(value, f"{prefix}{key}.")
            elif value is False:
                yield f"{prefix}{key}=true"

    return list(off(yaml.safe_load(file.read_text()), prefix))
