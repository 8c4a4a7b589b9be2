"""Suites hold no version of a unit, else each release would break one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from releases.release import drafted
from releases.repository import Repository
from releases.units import UNITS

NEXT = "47.11.0"
SUITES = {
    "cli": ("cli/tests/test_options.py", "cli/tests/test_install.py", "-k", "version or upgrade"),
    "chart": ("charts/mesh/tests/test_placement.py", "charts/mesh/tests/test_values.py"),
    "release": (
        "release/tests/test_repository.py::test_the_chart_pins_the_version_that_the_tree_builds",
        "release/tests/test_repository.py::test_the_page_of_compatibility_is_made_of_this_tree",
    ),
}


@pytest.fixture(scope="module")
def released(cloned: Callable[[Path], Repository], tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone in which every unit is released, and the CLI installed as the release has it."""
    here = cloned(tmp_path_factory.mktemp("next"))
    for unit in UNITS.values():
        changelog = here.root / unit.changelog
        changelog.write_text(f"# Changelog\n\n## Unreleased\n\n- Told.\n\n{changelog.read_text()}")
        drafted(here, unit, NEXT).commit(f"{unit.name} {NEXT}")
    installed = here.root / "installed" / f"weft-{NEXT}.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: weft\nVersion: {NEXT}\n")
    return here


@pytest.mark.parametrize("suite", SUITES)
def test_suites_hold_no_version(released: Repository, suite: str) -> None:
    """They pass once every unit has another; those are run that compare versions."""
    if suite == "chart" and not shutil.which("helm"):
        pytest.skip("helm is not on PATH; `make chart-test` brings one along, and runs this")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *SUITES[suite]]
    environment = os.environ | {"PYTHONPATH": str(released.root / "installed")}

    done = subprocess.run(command, cwd=released.root, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
