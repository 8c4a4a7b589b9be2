"""`make release`, `make changed-units`, and what `make gen` writes of them."""

import argparse
import shlex
import sys
from pathlib import Path
from subprocess import CalledProcessError

from releases.changelog import section
from releases.release import COMPATIBILITY, ReleaseError, compatibility, release, require_tagged
from releases.repository import Repository
from releases.units import UNITS, Unit
from releases.versions import VersionError

ROOT = Path(__file__).parents[2]


def main() -> None:
    """One command; exit code 1 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="releases", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    changed = commands.add_parser("changed", help="units that are not what they were at their last tag, and why")
    changed.add_argument("--since", default="", help="a commit, instead of each unit's last tag")
    tag = commands.add_parser("tag", help="check, set the version, write the CHANGELOG, commit, tag")
    tag.add_argument("unit", choices=UNITS)
    tag.add_argument("version")
    tag.add_argument("--check", default="", help="a command that must succeed first, instead of the unit's tests")
    notes = commands.add_parser("notes", help="what the CHANGELOG tells of a tag")
    notes.add_argument("tag")
    tagged = commands.add_parser("tagged", help="fail unless the checkout is that of the tag of the unit's version")
    tagged.add_argument("unit", choices=UNITS)
    commands.add_parser("gen", help="write docs/compatibility.md")
    commands.add_parser("contracts", help="the contracts of the checkout as a descriptor set, on standard output")
    options = parser.parse_args()
    repository = Repository(ROOT)
    try:
        _run(repository, options)
    except (ReleaseError, VersionError, ValueError) as wrong:
        sys.exit(f"error: {wrong}")
    except CalledProcessError as failed:
        sys.exit(f"error: {shlex.join(failed.cmd)}: {failed.stderr.strip()}")


def _run(repository: Repository, options: argparse.Namespace) -> None:
    match options.command:
        case "changed":
            print("\n".join(_changed(repository, options.since)))
        case "tag":
            release(repository, UNITS[options.unit], options.version, options.check, print)
        case "tagged":
            require_tagged(repository, UNITS[options.unit])
        case "notes":
            print(_told(repository, options.tag))
        case "contracts":
            sys.stdout.buffer.write(repository.contracts().SerializeToString(deterministic=True))
        case "gen":
            (ROOT / COMPATIBILITY).write_text(compatibility(repository))


def _told(repository: Repository, tag: str) -> str:
    name, _, version = tag.partition("/v")
    if name not in UNITS:
        raise ReleaseError(f"{tag!r} is no unit's tag: write destination/v1.4.0, say")
    if not (told := section(repository.text(UNITS[name].changelog), version)):
        raise ReleaseError(f"{UNITS[name].changelog} has no section {version}: is this the checkout of {tag}?")
    return told


def _changed(repository: Repository, since: str) -> list[str]:
    rows = [("UNIT", "SINCE", "BECAUSE OF")]
    for unit in UNITS.values():
        rows += _row(repository, unit, since or repository.last_tag(unit))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows]


def _row(repository: Repository, unit: Unit, since: str) -> list[tuple[str, str, str]]:
    if not since:
        return [(unit.name, "-", "never released")]
    if not (reasons := repository.touched(unit, since)):
        return []
    more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return [(unit.name, since, ", ".join(reasons[:3]) + more)]


if __name__ == "__main__":
    main()
