"""What a release pushes: the chart's package and the CLI's wheel, made as `make publish` makes them."""

import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from weft import render, version

CHART = Path(__file__).parents[1]
ROOT = CHART.parents[1]
DIST = ROOT / "dist"


def publish(unit: str) -> None:
    """Builds a unit, and pushes it nowhere."""
    done = subprocess.run([ROOT / "release/publish", unit], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def package() -> Path:
    """The chart's, by its version."""
    publish("chart")
    return DIST / f"weft-{yaml.safe_load((CHART / 'Chart.yaml').read_text())['version']}.tgz"


def test_the_package_installs_what_the_folder_does(helm: Any, package: Path) -> None:
    """With viz and without."""
    for settings in ([], ["--set", "viz.enabled=true", "--values", str(CHART / "values-ha.yaml")]):
        folder, packed = (
            helm.run("template", "weft", str(chart), "--namespace", "weft", *settings) for chart in (CHART, package)
        )
        assert packed == folder


def test_the_package_holds_no_tests(package: Path) -> None:
    """But schema, examples and the subchart."""
    with tarfile.open(package) as archive:
        names = {name.removeprefix("weft/") for name in archive.getnames()}

    assert [name for name in names if "tests" in Path(name).parts] == []
    assert names >= {"values.schema.json", "values-ha.yaml", "examples/registry.yaml", "charts/viz/values.yaml"}


def test_the_wheel_that_is_published_has_the_manifests() -> None:
    """Of this chart, under the CLI's version."""
    publish("cli")

    with zipfile.ZipFile(DIST / f"weft-{version()}-py3-none-any.whl") as wheel:
        core = wheel.read("weft/manifests/core.yaml").decode()
    assert core == render.packaged().core
