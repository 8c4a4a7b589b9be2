"""The repository as it is: contracts hold, units and chart agree, and the release of a unit touches no other."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from releases.contracts import breaks, facts
from releases.release import COMPATIBILITY, compatibility
from releases.repository import Repository
from releases.units import UNITS, VALUES

ROOT = Path(__file__).parents[2]
HERE = Repository(ROOT)


def test_released_contracts_hold() -> None:
    """Peers of the last release are understood. A field that must go is deprecated, or v2 is made."""
    released = HERE.released_contracts()

    assert len(facts(released)) > 100
    assert breaks(released, HERE.contracts()) == []


@pytest.mark.parametrize("name", [name for name, unit in UNITS.items() if unit.pin])
def test_the_chart_pins_the_version_that_the_tree_builds(name: str) -> None:
    """Each image by its own tag."""
    file, key = UNITS[name].pin or ("", "")
    value: Any = yaml.safe_load(HERE.text(file))
    for part in key.split("."):
        value = value[part]

    assert value == HERE.version(UNITS[name])


def test_what_the_cli_holds_is_what_it_is_built_from() -> None:
    """cli/hatch_build.py puts libraries and chart into the wheel."""
    held = set(re.findall(r'"weft_\w+": "(\w+)/', HERE.text("cli/hatch_build.py")))

    assert {f"libs/{name}" for name in held} | {"charts/mesh", "pyproject.toml"} == set(UNITS["cli"].also)


def test_fragments_are_about_units() -> None:
    """A folder with another name would never be released."""
    assert {path.name for path in (ROOT / "changes").iterdir() if path.is_dir()} <= set(UNITS)


def test_the_page_of_compatibility_is_made_of_this_tree() -> None:
    """`make gen` writes it."""
    assert compatibility(HERE) == HERE.text(COMPATIBILITY)


def make(clone: Repository, target: str, *variables: str) -> subprocess.CompletedProcess[str]:
    """`make` in the clone with this interpreter; what would be built and pushed is printed."""
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": os.environ["HOME"]}
    command = ["make", "-s", target, "run=env", "publish=echo published", *variables]
    return subprocess.run(command, cwd=clone.root, env=environment, capture_output=True, text=True, check=False)


def tag_all(clone: Repository) -> None:
    """Every unit is released as it is."""
    for unit in UNITS.values():
        clone.git("tag", unit.tag(clone.version(unit)))


def generated(clone: Repository) -> str:
    """What git says of files once all that names versions is generated anew: nothing, when they were right."""
    for command in (["-m", "releases", "gen"], ["charts/values_page.py"]):
        environment = {"PYTHONPATH": "release", "PATH": os.environ["PATH"]}
        subprocess.run([sys.executable, *command], cwd=clone.root, env=environment, check=True)
    return clone.git("status", "--porcelain")


def test_one_unit_is_released_alone(clone: Repository) -> None:
    """Version, lock, pin, CHANGELOG and tag are its own; pages that name them are made anew; then only chart and CLI,
    which carry the pin, differ.
    """
    tag_all(clone)
    before = clone.git("rev-parse", "HEAD")

    done = make(clone, "release", "UNIT=sp-validator", "VERSION=9.4.0", "CHECK=true")

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "published sp-validator"), done.stderr
    assert set(clone.git("diff", "--name-only", before).splitlines()) == {
        "changes/sp-validator/a.md",
        VALUES,
        "charts/mesh/files/defaults.yaml",
        "docs/compatibility.md",
        "docs/values.md",
        "services/sp-validator/CHANGELOG.md",
        "services/sp-validator/pyproject.toml",
        "uv.lock",
    }
    assert generated(clone) == ""
    assert clone.git("tag", "--points-at", "HEAD") == "sp-validator/v9.4.0"
    assert make(clone, "release-notes", "TAG=sp-validator/v9.4.0").stdout.rstrip().endswith("Says it more kindly.")
    assert "has no section 9.4.1" in make(clone, "release-notes", "TAG=sp-validator/v9.4.1").stderr
    touched = [line.split()[0] for line in make(clone, "changed-units").stdout.splitlines()[1:]]
    assert touched == ["chart", "cli"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([], ""),
        (["0.9.0", "0.9.1"], "0.9.1"),
        (["0.8.7", "0.9.0"], "0.8.7"),
        (["0.7.0", "0.8.0", "0.8.10", "0.8.9"], "0.8.10"),
    ],
)
def test_peers_have_the_release_before(tmp_path: Path, tags: list[str], expected: str) -> None:
    """What a skew test takes: the newest of the minor before, of the same where there is no other, or nothing yet."""
    here, unit = Repository(tmp_path), UNITS["proxy"]
    here.git("init", "--quiet")
    here.git("-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "--allow-empty", "-m", "First")
    (tmp_path / unit.manifest).parent.mkdir(parents=True)
    (tmp_path / unit.manifest).write_text('version = "0.9.1"\n')
    for tag in tags:
        here.git("tag", unit.tag(tag))

    assert here.previous(unit) == (unit.tag(expected) if expected else "")


def test_the_chart_tells_which_units_it_pinned(clone: Repository) -> None:
    """Its release is a line of the page of compatibility, and subchart and chart have one version."""
    tag_all(clone)

    done = make(clone, "release", "UNIT=chart", "VERSION=9.4.0", "CHECK=true")

    assert done.returncode == 0, done.stderr
    assert generated(clone) == ""
    assert json.loads(clone.text("release/charts.json"))["9.4.0"]["web"] == clone.version(UNITS["web"])
    assert "| 9.4.0 |" in clone.text("docs/compatibility.md")
    assert "version: 9.4.0" in clone.text("charts/mesh/charts/viz/Chart.yaml")


def test_a_chart_pins_what_is_released(clone: Repository) -> None:
    """Else it would name images that nobody can pull; what is missing is named."""
    tag_all(clone)
    for name in ("web", "proxy-init"):
        clone.git("tag", "--delete", UNITS[name].tag(clone.version(UNITS[name])))

    done = make(clone, "release", "UNIT=chart", "VERSION=9.4.0", "CHECK=true")

    missing = [f"{name} {clone.version(UNITS[name])}" for name in ("web", "proxy-init")]
    assert done.stderr.splitlines()[0].endswith(f"release first {', '.join(missing)}")
    assert clone.git("status", "--porcelain") == ""


def test_a_release_that_git_refuses_leaves_nothing_and_is_run_again(clone: Repository) -> None:
    """A commit that a hook refuses, then a tag that cannot be signed: each is one line, and the next run goes on."""
    release = ("release", "UNIT=sp-validator", "VERSION=9.4.0", "CHECK=true")
    before, hook = clone.git("rev-parse", "HEAD"), clone.root / ".git/hooks/commit-msg"
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)

    done = make(clone, *release)
    assert (done.stderr.splitlines()[0][:7], "not today" in done.stderr) == ("error: ", True)
    assert (clone.git("rev-parse", "HEAD"), clone.git("status", "--porcelain")) == (before, "")

    hook.unlink()
    clone.git("config", "tag.gpgSign", "true")
    clone.git("config", "gpg.program", "false")
    assert make(clone, *release).stderr.startswith("error: git ")
    committed = clone.git("rev-parse", "HEAD")

    clone.git("config", "tag.gpgSign", "false")
    assert make(clone, *release).returncode == 0
    assert clone.git("rev-parse", "sp-validator/v9.4.0^{}") == clone.git("rev-parse", "HEAD") == committed != before


def test_what_is_pushed_is_what_the_tag_holds(clone: Repository) -> None:
    """A version names the same bytes for ever; without a registry anything may be built."""
    push = ("publish", "UNIT=web", "REGISTRY=registry.example")
    tag = UNITS["web"].tag(clone.version(UNITS["web"]))

    assert f"not that of {tag}" in make(clone, *push).stderr
    assert make(clone, "publish", "UNIT=web").stdout == "published web\n"

    clone.git("tag", tag)
    assert make(clone, *push).stdout == "published web\n"

    (clone.root / "services/web/README.md").write_text("x")
    assert "uncommitted changes" in make(clone, *push).stderr


def test_the_cli_has_the_version_of_the_chart_that_it_carries(clone: Repository) -> None:
    """`weft check` compares it with what is installed."""
    done = make(clone, "release", "UNIT=cli", "VERSION=9.4.0", "CHECK=true")

    assert f"release it as {clone.version(UNITS['chart'])}" in done.stderr


def told_already(root: Path) -> None:
    """Nothing about web is left to tell."""
    here, name = Repository(root), UNITS["web"].changelog
    here.git("rm", "-rq", "changes/web")
    (root / name).write_text("# Changelog\n\n## 0.0.9\n\n- Old.\n")
    here.git("commit", "-q", "-a", "-m", "All told")


def breaks_a_contract(root: Path) -> None:
    """A field of a released message has another number."""
    here, path = Repository(root), root / "proto/identity/v1/identity.proto"
    found = re.search(r"^  string \w+ = (\d+);", text := path.read_text(), re.MULTILINE)
    assert found
    path.write_text(text[: found.start(1)] + "999" + text[found.end(1) :])
    here.git("commit", "-q", "-a", "-m", "Another number")


def fails_a_test(root: Path) -> None:
    """Of all that web is built from one test is left, which fails."""
    here = Repository(root)
    here.git("rm", "-rq", "libs/http/tests", "libs/kube/tests", "libs/runtime/tests", "services/web/tests")
    (root / "services/web/tests").mkdir(parents=True)
    (root / "services/web/tests/test_it.py").write_text("def test_it() -> None:\n    raise AssertionError\n")
    here.git("add", "--all")
    here.git("commit", "-q", "-m", "A fault")


@pytest.mark.parametrize(
    ("spoil", "variables", "said"),
    [
        (lambda root: (root / "README.md").write_text("x"), ["VERSION=9.4.0", "CHECK=true"], "uncommitted"),
        (lambda _: None, ["VERSION=9.4", "CHECK=true"], "MAJOR.MINOR.PATCH"),
        (lambda _: None, ["VERSION=0.0.1", "CHECK=true"], "choose a newer version"),
        (lambda _: None, ["VERSION=9.4.0", "CHECK=false"], "`false` failed"),
        (told_already, ["VERSION=9.4.0", "CHECK=true"], "no fragment"),
        (breaks_a_contract, ["VERSION=9.4.0", "CHECK=true"], "released contracts are broken"),
        (fails_a_test, ["VERSION=9.4.0"], "services/web` failed: correct that first"),
    ],
)
def test_what_must_not_be_released_is_refused(clone: Repository, spoil: Any, variables: list[str], said: str) -> None:
    """Before a file is touched, in one line that names the cause."""
    clone.git("tag", tag := UNITS["web"].tag(clone.version(UNITS["web"])))
    spoil(clone.root)
    before = clone.git("status", "--porcelain")

    done = make(clone, "release", "UNIT=web", *variables)

    assert said in done.stderr
    assert (done.returncode, clone.git("status", "--porcelain"), clone.git("tag")) == (2, before, tag)
