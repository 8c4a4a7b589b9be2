"""`make release`: a unit's version, CHANGELOG, pin, commit and tag. Run again after a failure, it goes on."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from releases import changelog, versions
from releases.compatibility import Pinned, page
from releases.contracts import breaks
from releases.repository import RELEASED, Repository
from releases.units import CHART, UNITS, Unit

CHARTS = Path("release/charts.json")
COMPATIBILITY = Path("docs/compatibility.md")
CONTRACT = re.compile(r"\bweft_api(?:\.|::)(discovery|identity|tap)\b")


class ReleaseError(Exception):
    """The unit cannot be released; the text says why and what to do."""


def release(repository: Repository, unit: Unit, version: str, check: str, say: Callable[[str], None]) -> None:
    """Check, set, commit, tag. `check` is a command that must succeed in the checkout; empty: the unit's own tests."""
    require(repository, unit, version)
    check = check or tests_of(repository, unit)
    say(f"checked: {unit.name} {version} is new and newer, nothing uncommitted, released contracts hold")
    say(f"checking: {check}")
    if subprocess.run(shlex.split(check), cwd=repository.root, check=False).returncode:
        raise ReleaseError(f"`{check}` failed: correct that first")
    write(repository, unit, version)
    if repository.git("status", "--porcelain"):
        repository.git("add", "--all")
        repository.git("commit", "--quiet", "--message", f"{unit.name} {version}")
    told = changelog.section(repository.text(unit.changelog), version)
    repository.git(
        "tag", "--annotate", unit.tag(version), "--cleanup=verbatim", "--message", f"{unit.name} {version}\n\n{told}"
    )
    say(f"tagged: {unit.tag(version)}. Publish the commit and the tag: git push origin HEAD {unit.tag(version)}")


def tests_of(repository: Repository, unit: Unit) -> str:
    """The command that tests the unit, and with a service the libraries that it is built from."""
    if unit.name == "chart":
        return "make chart-test"
    if unit.lock != "uv.lock":
        return "make test-proxy"
    folders = sorted(
        folder for folder in repository.built(unit).folders if (repository.root / folder / "tests").is_dir()
    )
    return shlex.join([sys.executable, "-m", "pytest", *(f for f in folders if f != CHART)])


def require(repository: Repository, unit: Unit, version: str) -> None:
    """What must hold before anything is written; ReleaseError when it does not."""
    new, last = versions.parsed(version), repository.last_tag(unit)
    if repository.git("status", "--porcelain"):
        raise ReleaseError("there are uncommitted changes: commit them first")
    if last and versions.parsed(last.rpartition("/v")[2]) >= new:
        raise ReleaseError(f"{last} is released: choose a newer version")
    if unit.name == "cli" and version != (chart := repository.version(UNITS["chart"])):
        raise ReleaseError(f"the CLI carries chart {chart}: release it as {chart}, or a newer chart first")
    if broken := breaks(repository.released_contracts(), repository.contracts()):
        raise ReleaseError("released contracts are broken:\n" + "\n".join(broken))


def write(repository: Repository, unit: Unit, version: str) -> None:
    """Every file that names the unit's version, its CHANGELOG, and what follows from them."""
    root = repository.root
    _set_version(repository, unit, version)
    fragments = sorted((root / "changes" / unit.name).glob("*.md"))
    told = changelog.released(
        repository.text(unit.changelog), version, {path.name: path.read_text() for path in fragments}
    )
    (root / unit.changelog).write_text(told)
    for path in fragments:
        path.unlink()
    if contracts_of(repository, unit):
        (root / RELEASED).write_bytes(repository.contracts().SerializeToString(deterministic=True))
    if unit.name == "chart":
        charts = json.loads(repository.text(str(CHARTS)))
        charts[version] = {one.name: one.version for one in pinned(repository)}
        (root / CHARTS).write_text(json.dumps(charts, indent=2) + "\n")
    (root / COMPATIBILITY).write_text(compatibility(repository))


def _set_version(repository: Repository, unit: Unit, version: str) -> None:
    def edit(path: str, change: Callable[[str], str]) -> None:
        (repository.root / path).write_text(change(repository.text(path)))

    if unit.name == "chart":
        for path in (unit.manifest, f"{CHART}/charts/viz/Chart.yaml"):
            edit(path, lambda text: versions.set_in_chart(text, version))
        return
    edit(unit.manifest, lambda text: versions.set_in_toml(text, version))
    for lock in [unit.lock, *(["proxy/fuzz/Cargo.lock"] if unit.name == "proxy" else [])]:
        edit(lock, lambda text: versions.set_in_lock(text, unit.package, version))
    if unit.pin:
        values, key = unit.pin
        edit(values, lambda text: versions.set_value(text, key, version))


def pinned(repository: Repository) -> list[Pinned]:
    """The units that the chart installs."""
    return [
        Pinned(unit.name, repository.version(unit), contracts_of(repository, unit))
        for unit in UNITS.values()
        if unit.pin
    ]


def contracts_of(repository: Repository, unit: Unit) -> tuple[str, ...]:
    """The contracts that a unit's source names."""
    sources = [
        *(repository.root / unit.folder).glob("src/**/*.py"),
        *(repository.root / unit.folder).glob("src/**/*.rs"),
    ]
    return tuple(sorted({name for source in sources for name in CONTRACT.findall(source.read_text())}))


def compatibility(repository: Repository) -> str:
    """docs/compatibility.md as it should be now."""
    manifest = repository.text(f"{CHART}/Chart.yaml")
    needed = re.search(r'^kubeVersion: ">=(\d+\.\d+)', manifest, re.MULTILINE)
    tested = re.search(r"K8S_VERSION=v(\d+\.\d+)", repository.text("tests/cluster/lib.sh"))
    if needed is None or tested is None:
        raise ReleaseError("Chart.yaml has no kubeVersion, or tests/cluster/lib.sh no K8S_VERSION")
    charts = json.loads(repository.text(str(CHARTS)))
    kubernetes = f"{needed[1]} or newer"
    return page(versions.in_manifest(manifest), kubernetes, tested[1], pinned(repository), charts)
