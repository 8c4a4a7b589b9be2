"""`make release`: a unit's version, CHANGELOG, pin, commit and tag. Run again after a failure, it goes on."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable

from releases import changelog, versions
from releases.compatibility import Pinned, page
from releases.contracts import breaks
from releases.repository import RELEASED, Draft, Repository
from releases.units import CHART, UNITS, Unit

CHARTS = "release/charts.json"
COMPATIBILITY = "docs/compatibility.md"
CONTRACT = re.compile(r"\bweft_api(?:\.|::)(discovery|identity|tap)\b")


class ReleaseError(Exception):
    """The unit cannot be released; the text says why and what to do."""


def release(repository: Repository, unit: Unit, version: str, check: str, say: Callable[[str], None]) -> None:
    """Check, set, commit, tag. `check` is a command that must succeed in the checkout; empty: the unit's own tests."""
    require(repository, unit, version)
    draft = drafted(repository, unit, version)
    check = check or tests_of(repository, unit)
    say(f"checked: {unit.name} {version} is new and newer, nothing uncommitted, released contracts hold")
    say(f"checking: {check}")
    if subprocess.run(shlex.split(check), cwd=repository.root, check=False).returncode:
        raise ReleaseError(f"`{check}` failed: correct that first")
    draft.commit(f"{unit.name} {version}")
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
    require_committed(repository)
    if last and versions.parsed(last.rpartition("/v")[2]) >= new:
        raise ReleaseError(f"{last} is released: choose a newer version")
    if unit.name == "cli" and version != (chart := repository.version(UNITS["chart"])):
        raise ReleaseError(f"the CLI carries chart {chart}: release it as {chart}, or a newer chart first")
    if unit.name == "chart" and (missing := unreleased(repository)):
        raise ReleaseError(f"the chart pins what has no tag: release first {', '.join(missing)}")
    if broken := breaks(repository.released_contracts(), repository.contracts()):
        raise ReleaseError("released contracts are broken:\n" + "\n".join(broken))


def require_committed(repository: Repository) -> None:
    """ReleaseError when the checkout is not what git has."""
    if repository.git("status", "--porcelain"):
        raise ReleaseError("there are uncommitted changes: commit them first")


def require_tagged(repository: Repository, unit: Unit) -> None:
    """What may be pushed: a version names the same bytes for ever. ReleaseError when the checkout is not its tag's."""
    require_committed(repository)
    tag = unit.tag(repository.version(unit))
    if tag not in repository.git("tag", "--points-at", "HEAD").split():
        raise ReleaseError(f"the checkout is not that of {tag}: `git checkout {tag}`, or release a version of it first")


def unreleased(repository: Repository) -> list[str]:
    """Units of the chart whose pinned version no tag before this checkout has."""
    pins = ((unit, repository.version(unit)) for unit in UNITS.values() if unit.pin)
    return [f"{unit.name} {version}" for unit, version in pins if not repository.is_released(unit, version)]


def drafted(repository: Repository, unit: Unit, version: str) -> Draft:
    """Every file that names the unit's version, its CHANGELOG, and what is made of them; nothing is written."""
    draft = Draft(repository.root)
    _set_version(draft, unit, version)
    _tell(draft, unit, version)
    if contracts_of(draft, unit):
        draft.put(RELEASED, draft.contracts().SerializeToString(deterministic=True))
    if unit.name == "chart":
        charts = json.loads(draft.text(CHARTS)) | {version: {one.name: one.version for one in pinned(draft)}}
        draft.put(CHARTS, json.dumps(charts, indent=2) + "\n")
    draft.put(COMPATIBILITY, compatibility(draft))
    _show_values(draft)
    return draft


def _set_version(draft: Draft, unit: Unit, version: str) -> None:
    def edit(path: str, change: Callable[[str], str]) -> None:
        draft.put(path, change(draft.text(path)))

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


def _tell(draft: Draft, unit: Unit, version: str) -> None:
    """The CHANGELOG, of fragments that go."""
    folder = f"changes/{unit.name}"
    fragments = {path.name: path.read_text() for path in (draft.root / folder).glob("*.md")}
    draft.put(unit.changelog, changelog.released(draft.text(unit.changelog), version, fragments))
    for name in fragments:
        draft.remove(f"{folder}/{name}")


def _show_values(draft: Draft) -> None:
    """What `make gen` makes of the chart's values, which pin the units."""
    pages = runpy.run_path(str(draft.root / "charts/values_page.py"))["pages"]
    for path, text in pages(lambda path: draft.text(str(path.relative_to(draft.root)))).items():
        draft.put(str(path.relative_to(draft.root)), text)


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
    charts = json.loads(repository.text(CHARTS))
    kubernetes = f"{needed[1]} or newer"
    return page(versions.in_manifest(manifest), kubernetes, tested[1], pinned(repository), charts)
