"""What the command line loads when it starts: little, so that `--help` and completion are there at once."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable

import pytest

LOADED = (
    "import sys, weft.main\ntry: weft.main.cli({!r})\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
)
OWN = {"click", "weft"}
START_SECONDS = 0.2
SLOW = {"asyncio", "concurrent.futures", "email", "http.client", "socket", "ssl", "subprocess", "urllib.request"}
"""Of the standard library: what brings much along."""


def loaded(*command: str) -> set[str]:
    """Modules that a command loads, beside those of every Python."""
    runs = (LOADED.format(list(command)), "import sys\nprint(*sys.modules, file=sys.stderr)")
    with_it, bare = (
        subprocess.run(
            [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
        )
        for code in runs
    )
    return set(with_it.stderr.splitlines()[-1].split()) - set(bare.stderr.split())


def others(modules: set[str]) -> set[str]:
    """Packages that are not Python's own, nor Cython's traces in the extension of PyYAML."""
    packages = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names)
    return {package for package in packages if "cython" not in package}


@pytest.mark.parametrize("command", [["--help"], ["viz", "stat", "--help"], ["check", "--help"]])
def test_help_loads_click_and_nothing_else_of_others(command: list[str]) -> None:
    """Commands import what they need when they run, and neither rich nor what is slow of Python's own before."""
    found = loaded(*command)
    assert (others(found), found & SLOW) == (OWN, set())


@pytest.mark.parametrize("command", [["viz", "stat", "deploy"], ["viz", "edges", "deploy"], ["viz", "tap", "deploy/x"]])
def test_a_question_to_the_cluster_loads_little(command: list[str], point_at: Callable[[str], None]) -> None:
    """YAML for the kubeconfig, and Python's own HTTP: what there is to see is there in a moment."""
    point_at("http://127.0.0.1:1")
    assert others(loaded(*command)) == OWN | {"yaml"}


def test_it_starts_within_200_ms() -> None:
    """Of processor time, which a busy machine hardly changes; the best of five runs."""
    assert min(help_seconds() for _ in range(5)) < START_SECONDS


def help_seconds() -> float:
    """Processor time of `weft --help`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    help_ = "from weft.main import main; main()"
    subprocess.run([sys.executable, "-c", help_, "--help"], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
