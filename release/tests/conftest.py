"""Clones in which units are released."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from releases.repository import Repository
from releases.units import UNITS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cloned() -> Callable[[Path], Repository]:
    """Makes a clone with what is not committed yet, where nothing is released and each unit has a change to tell."""

    def make(folder: Path) -> Repository:
        subprocess.run(["git", "clone", "-q", "--shared", "--no-tags", str(ROOT), str(folder)], check=True)
        here = Repository(folder)
        here.git("config", "user.name", "test")
        here.git("config", "user.email", "test@example.org")
        files = Repository(ROOT).git("ls-files", "--modified", "--others", "--exclude-standard").split()
        for name in (name for name in files if (ROOT / name).is_file()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
        for changes in (folder / "changes" / name for name in UNITS):
            shutil.rmtree(changes, ignore_errors=True)
            changes.mkdir()
            (changes / "a.md").write_text("Says it more kindly.\n")
        here.git("add", "--all")
        here.git("commit", "-q", "-m", "A change")
        return here

    return make


@pytest.fixture
def clone(cloned: Callable[[Path], Repository], tmp_path: Path) -> Repository:
    """A clone of the test's own."""
    return cloned(tmp_path)
