"""This repository's own units: what a change of a file touches, and which tests a release runs."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from releases.release import tests_of as command_of
from releases.repository import Repository
from releases.units import UNITS

HERE = Repository(Path(__file__).parents[2])
SERVICES = {"destination", "identity", "injector", "sp-validator", "tap", "web"}


@pytest.fixture(scope="module")
def tree(cloned: Callable[[Path], Repository], tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A clone that each test leaves as it was."""
    return cloned(tmp_path_factory.mktemp("tree"))


def more(text: str) -> str:
    """A file with a line more."""
    return f"{text}\n# another line\n"


def newer(package: str) -> Callable[[str], str]:
    """A lock file with another version of a package."""
    head = f'name = "{package}"\nversion = "'
    return lambda text: text.replace(head, f"{head}9")


@pytest.mark.parametrize(
    ("path", "change", "touched"),
    [
        ("libs/webhook/src/weft_webhook/review.py", more, {"injector", "sp-validator", "tap"}),
        ("libs/sidecar/src/weft_sidecar/patch.py", more, {"injector", "cli"}),
        ("proto/python/src/weft_api/tap/v1/tap_pb2.py", more, {"destination", "identity", "tap"}),
        ("proxy/api/src/generated/weft.tap.v1.rs", more, {"proxy"}),
        ("uv.lock", newer("cryptography"), {"identity", "injector", "sp-validator", "tap", "cli"}),
        ("proxy/Cargo.lock", newer("tokio"), {"proxy"}),
        ("pyproject.toml", more, SERVICES | {"cli"}),
        ("services/Dockerfile", more, SERVICES),
        ("charts/mesh/templates/config.yaml", more, {"chart", "cli"}),
        ("libs/webhook/tests/test_review.py", more, set()),
        ("README.md", more, set()),
    ],
)
def test_a_change_touches_what_is_built_from_it(
    tree: Repository, path: str, change: Callable[[str], str], touched: set[str]
) -> None:
    """By the lock files that there are: a library, a contract as it is generated, another version of a package."""
    file, before = tree.root / path, tree.text(path)
    try:
        file.write_text(change(before))
        assert tree.git("status", "--porcelain") == f"M {path}"
        assert {name for name, unit in UNITS.items() if tree.touched(unit, "HEAD")} == touched
    finally:
        file.write_text(before)


@pytest.mark.parametrize(
    ("name", "tests"),
    [
        ("tap", "libs/http libs/kube libs/pki libs/runtime libs/webhook services/tap"),
        ("destination", "libs/http libs/kube libs/runtime services/destination"),
        ("cli", "cli libs/kube libs/sidecar"),
    ],
)
def test_a_release_runs_the_tests_of_all_that_it_is_built_from(name: str, tests: str) -> None:
    """A service's own and those of its libraries, of no other unit."""
    assert shlex.split(command_of(HERE, UNITS[name]))[1:] == ["-m", "pytest", *tests.split()]


@pytest.mark.parametrize(
    ("name", "target"), [("proxy", "test-proxy"), ("proxy-init", "test-proxy"), ("chart", "chart-test")]
)
def test_a_release_of_what_is_no_python_runs_its_target(name: str, target: str) -> None:
    """As `make test` does."""
    assert command_of(HERE, UNITS[name]) == f"make {target}"
