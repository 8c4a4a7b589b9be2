"""What every released image keeps to, and that what the suites name is what images/build makes."""

import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from releases.repository import Repository
from releases.units import UNITS

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "tests/cluster/images/build"
NAMED = re.compile(r"""image["']: f?["']([^"']+)["']|\bimage: (\S*[:/]\S*)$""", re.MULTILINE)
"""An image in Python, or in YAML."""
ABSENT = {"scratch", "localhost/there-is-no-such-image:1"}
"""Of pods that never start on purpose: refused by a webhook, a dry run, a fault that `weft why` finds."""
DOCKER = """\
#!/bin/sh
case "$*" in
  "build "* | "tag "* | "push "*) echo "$*" >>"$0.log" ;;
  "load "*) echo "Loaded image: $LOADED" ;;
  *Config.User*) echo "$FACTS" ;;
  *.Size*) echo "$SIZE" ;;
  "save -o "*) touch "$3" ;;
  "save "*) cat "$SAVED" ;;
esac
"""
"""Says of any image what the test wants to hear."""


def saved(folder: Path, *names: str) -> Path:
    """An image as docker saves it: a layer with files of these names, among what is no layer."""
    for name in names:
        (folder / "layer" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "layer" / name).touch()
    with tarfile.open(folder / "layer.tar", "w") as layer:
        layer.add(folder / "layer", ".")
    (folder / "manifest.json").write_text("[]")
    with tarfile.open(folder / "image.tar", "w") as image:
        for part in ("manifest.json", "layer.tar"):
            image.add(folder / part, part)
    return folder / "image.tar"


def build(folder: Path, *names: str, script: Path = BUILD, **facts: str) -> subprocess.CompletedProcess[str]:
    """images/build NAME... with a docker that builds nothing; what it is asked to build and push is in docker.log."""
    docker = folder / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        "WEFT_CACHE": str(folder / "cache"),
        "WEFT_BASES": "public",
        "SAVED": str(saved(folder, "app/bin/python")),
        **facts,
    }
    return subprocess.run([str(script), *names], env=environment, capture_output=True, text=True, check=False)


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

    facts = f"{user};https://example.org;{version}"
    done = build(tmp_path, name, SIZE=f"{size_mb}000000", FACTS=facts)

    assert (done.returncode != 0, told in done.stderr) == (bool(told), True), done.stderr


@pytest.mark.parametrize("labels", [";", "https://example.org;", ";0.1.0", "https://example.org;0.0.1"])
def test_a_released_image_tells_its_source_and_version(tmp_path: Path, labels: str) -> None:
    """Its own version, not another."""
    assert "lacks labels" in build(tmp_path, "tap", SIZE="50000000", FACTS=f"2103:2103;{labels}").stderr


@pytest.mark.parametrize(
    ("path", "refused"),
    [("bin/sh", True), ("usr/bin/bash", True), ("usr/bin/dash", True), ("bin/busybox", True), ("app/bin/wash", False)],
)
def test_a_released_image_has_no_shell(tmp_path: Path, path: str, refused: bool) -> None:
    """Whoever gets into it finds nothing to start but the service; the file is named."""
    facts = f"2103:2103;https://example.org;{Repository(ROOT).version(UNITS['tap'])}"

    done = build(tmp_path, "tap", SIZE="50000000", FACTS=facts, SAVED=str(saved(tmp_path, "app/bin/python", path)))

    assert ("the image tap has a shell" in done.stderr, path in done.stderr) == (refused, refused)
    assert (done.returncode != 0) == refused


@pytest.mark.parametrize("name", [name for name, unit in UNITS.items() if unit.pin and name != "proxy-init"])
def test_the_table_says_what_a_unit_takes_when_idle(tmp_path: Path, name: str) -> None:
    """And when that was measured; proxy-init ends before anybody could look."""
    version = Repository(ROOT).version(UNITS[name])

    table = build(tmp_path, name, SIZE="9000000", FACTS=f"2102:2102;https://example.org;{version}").stderr

    row = rf"^{name} +{re.escape(version)} +9 MB  \d+(\.\d+)? MB, measured 20\d\d-\d\d-\d\d$"
    assert re.search(row, table, re.MULTILINE), table


def test_a_registry_gets_the_unit_and_nothing_else(tmp_path: Path) -> None:
    """Under the registry's name; without a registry nothing is pushed."""
    image = f"tap:{Repository(ROOT).version(UNITS['tap'])}"
    facts = {"SIZE": "1", "FACTS": f"2103:2103;https://example.org;{image[4:]}", "LOADED": f"ghcr.io/weft-mesh/{image}"}

    def pushed(**registry: str) -> list[str]:
        (tmp_path / "docker.log").unlink(missing_ok=True)
        done = build(tmp_path, "tap", script=ROOT / "release/publish", **facts, **registry)
        assert done.returncode == 0, done.stderr
        return [line for line in (tmp_path / "docker.log").read_text().splitlines() if not line.startswith("build ")]

    assert pushed() == []
    assert pushed(REGISTRY="registry.example/mesh") == [
        f"tag ghcr.io/weft-mesh/{image} registry.example/mesh/{image}",
        f"push -q registry.example/mesh/{image}",
    ]


def test_images_are_built_on_what_the_suites_run_on() -> None:
    """One Python in public images, in local ones (Debian bookworm's) and in CI; the demo's bases are the services'."""
    services, demo = (
        dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", (ROOT / folder / "Dockerfile").read_text(), re.MULTILINE))
        for folder in ("services", "demo")
    )
    (python,) = re.findall(r'python-version: "(.*)"', (ROOT / ".github/workflows/ci.yml").read_text())

    assert services["PYTHON_IMAGE"] == f"docker.io/library/python:{python}-slim-bookworm"
    assert services.items() >= demo.items()


def test_suites_name_images_that_are_built(tmp_path: Path) -> None:
    """A pod with another would wait for an image that nobody has; demo and suites name one by its version."""
    build(tmp_path, SIZE="1")  # all are made before the first is looked at
    made = set(re.findall(r" -t (\S+)", (tmp_path / "docker.log").read_text()))
    suites = [path for suite in ("integration", "chaos") for path in (ROOT / "tests" / suite).iterdir()]
    texts = [path.read_text() for path in (*suites, ROOT / "demo/teahouse.yaml") if path.is_file()]

    named = {"".join(found) for text in texts for found in NAMED.findall(text)}

    assert len(made) == len([unit for unit in UNITS.values() if unit.pin]) + 1, "and the demo's"
    assert named - made == ABSENT
