"""The CLI as users get it: a wheel, installed where nothing of the repository is."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from weft import render, version

ROOT = Path(__file__).parents[3]
IMPORT_ALL = """
import importlib, pkgutil, weft
for found in pkgutil.walk_packages(weft.__path__, "weft."):
    importlib.import_module(found.name)
"""
LOCKED = ("--frozen", "--package", "weft", "--no-dev", "--no-emit-workspace", "--no-hashes")
Program = Callable[..., str]


def run(*command: str, folder: Path, path: str = os.environ["PATH"]) -> str:
    """What a command prints; it succeeds, and has nothing to complain about."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A program of a venv with the wheel and the lock's versions; it has no PATH but the one that is given."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "uv is not on PATH; `make chart-test` runs by it"
    run(uv, "build", "-q", "--wheel", "--package", "weft", "-o", str(folder), folder=ROOT)
    run(uv, "export", "-q", *LOCKED, "-o", str(folder / "locked.txt"), folder=ROOT)
    run(uv, "venv", "-q", "--python", sys.executable, "venv", folder=folder)
    (wheel,) = folder.glob("*.whl")
    run(uv, "pip", "install", "-q", "--python=venv/bin/python", "-c", "locked.txt", wheel.name, folder=folder)
    return lambda name, *arguments, path="": run(str(folder / "venv/bin" / name), *arguments, folder=folder, path=path)


def test_the_wheel_is_whole(program: Program) -> None:
    """Each of its modules finds what it imports."""
    program("python", "-c", IMPORT_ALL)


def test_the_wheel_alone_installs_the_mesh(program: Program) -> None:
    """Without options it needs neither helm nor the repository."""
    assert program("weft", "version", "--client") == f"Client version: {version()}\n"
    assert program("weft", "install", "--ignore-cluster") == render.packaged().core
    assert program("weft", "viz", "install", "--ignore-cluster") == render.packaged().viz


def test_the_wheel_has_the_chart(program: Program, helm: Any) -> None:
    """What is set is rendered by helm from the wheel's own copy."""
    setting, path = "global.trustDomain=corp", os.environ["PATH"]
    printed = render.parse(program("weft", "install", "--ignore-cluster", "--set", setting, path=path))

    assert sorted(printed, key=str) == sorted(helm.render(setting, "installNamespace=true"), key=str)
