"""What every released image keeps to: images/build fails rather than hand out another."""

import os
import subprocess
from pathlib import Path

import pytest
from releases.repository import Repository
from releases.units import UNITS

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "tests/cluster/images/build"
DOCKER = """\
#!/bin/sh
case "$*" in
  *Config.User*) echo "$FACTS" ;;
  *.Size*) echo "$SIZE" ;;
  *" save "* | "save "*) touch "$3" ;;
esac
"""
"""Says of any image what the test wants to hear."""


def built(folder: Path, name: str, size_mb: int, user: str, labels: str) -> subprocess.CompletedProcess[str]:
    """images/build NAME with a docker that builds nothing."""
    docker = folder / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        "WEFT_CACHE": str(folder / "cache"),
        "WEFT_BASES": "public",
        "SIZE": f"{size_mb}000000",
        "FACTS": f"{user};{labels}",
    }
    return subprocess.run([str(BUILD), name], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("name", "size_mb", "user", "told"),
    [
        ("proxy", 20, "2102:2102", ""),
        ("proxy", 21, "2102:2102", "the image proxy is larger than 20 MB"),
        ("web", 120, "2103:2103", ""),
        ("web", 121, "2103:2103", "the image web is larger than 120 MB"),
        ("web", 50, "", "the image web runs as root"),
        ("web", 50, "0:0", "the image web runs as root"),
        ("proxy-init", 4, "", ""),
    ],
)
def test_a_released_image_is_small_and_nobodys_root(
    tmp_path: Path, name: str, size_mb: int, user: str, told: str
) -> None:
    """proxy-init alone is root: it changes the pod's network."""
    version = Repository(ROOT).version(UNITS[name])

    done = built(tmp_path, name, size_mb, user, f"https://example.org;{version}")

    assert (done.returncode != 0, told in done.stderr) == (bool(told), True), done.stderr


@pytest.mark.parametrize("labels", [";", "https://example.org;", ";0.1.0", "https://example.org;0.0.1"])
def test_a_released_image_tells_its_source_and_version(tmp_path: Path, labels: str) -> None:
    """Its own version, not another."""
    assert "lacks labels" in built(tmp_path, "tap", 50, "2103:2103", labels).stderr
