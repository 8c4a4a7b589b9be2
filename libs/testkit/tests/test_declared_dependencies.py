"""An image holds what its unit declares, and what that needs in turn: nothing else can be imported there."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UNITS = sorted(path.parent for path in ROOT.glob("*/*/pyproject.toml") if (path.parent / "src").is_dir())
DISTRIBUTIONS = packages_distributions()


def needed(unit: Path) -> set[str]:
    """Names of distributions that come with the unit."""
    project = tomllib.loads((unit / "pyproject.toml").read_text())["project"]
    names: set[str] = set()
    waiting = [*project.get("dependencies", []), *chain(*project.get("optional-dependencies", {}).values())]
    while waiting:
        name = re.split(r"[\[<>=!;~ ]", waiting.pop())[0].lower().replace("_", "-")
        if name not in names:
            names.add(name)
            waiting += [one for one in _requirements(name) if "extra ==" not in one]
    return names


def _requirements(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # of another platform
        return []


def imported(unit: Path) -> Iterator[str]:
    """First names of the modules that its sources import, at whatever depth."""
    for source in (unit / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield str(node.module).partition(".")[0]


def distributions(module: str) -> set[str]:
    """Which bring a module; those of this project are called as their module."""
    return {name.lower().replace("_", "-") for name in DISTRIBUTIONS.get(module, [module])}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_is_imported_is_in_the_image(unit: Path) -> None:
    """Although a checkout's environment, with every unit's needs, has more."""
    own = {folder.name for folder in (unit / "src").iterdir()}
    found = set(imported(unit)) - own - sys.stdlib_module_names
    assert {name for name in found if not needed(unit) & distributions(name)} == set()
