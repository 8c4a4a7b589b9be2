"""What changed since a unit's release, by what it is built from. Pure: lock files are text, changed files are names.

What a lock file says is taken whole (Cargo.lock does not tell dependencies of tests apart): a unit may be named that
need not be released; none is left out.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

UNBUILT = {"tests", "benches", "CHANGELOG.md", "README.md"}
"""Names of files and folders that go into no image, wheel or chart."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a unit is built from, at one commit."""

    folders: frozenset[str]
    """Its own and those of packages of the repository."""
    packages: frozenset[str] = field(default=frozenset())
    """`name version` of packages from elsewhere."""


def built(lock: str, package: str, crates: Mapping[str, str]) -> Built:
    """What a lock file (uv.lock or Cargo.lock) says of a package; `crates` has folders of the repository's crates."""
    known: dict[str, list[dict[str, Any]]] = {}
    for one in tomllib.loads(lock)["package"]:
        known.setdefault(one["name"], []).append(one)
    folders, packages, seen, left = set(), set(), set(), {package}
    while left:
        name = left.pop()
        seen.add(name)
        for one in known[name]:
            if folder := _folder(one, crates):
                folders.add(folder)
            else:
                packages.add(f"{name} {one['version']}")
            left |= set(_needs(one)) - seen
    return Built(frozenset(folders), frozenset(packages))


def _folder(package: Mapping[str, Any], crates: Mapping[str, str]) -> str:
    """Where a package lies in the repository; empty when it comes from elsewhere."""
    match package.get("source"):
        case None:
            return crates[package["name"]]
        case {"editable": folder}:
            return str(folder)
    return ""


def _needs(package: Mapping[str, Any]) -> Iterator[str]:
    for one in package.get("dependencies", []):
        yield one["name"] if isinstance(one, dict) else one.split()[0]
    for extra in package.get("optional-dependencies", {}).values():
        yield from (one["name"] for one in extra)


def reasons(before: Built, after: Built, changed: Iterable[str]) -> list[str]:
    """Why a unit is not what it was: packages by name and version, then files."""
    gone, come = before.packages - after.packages, after.packages - before.packages
    moved = [f"+ {name}" for name in sorted(come)] + [f"- {name}" for name in sorted(gone)]
    folders = before.folders | after.folders
    return moved + [name for name in sorted(changed) if _goes_into(name, folders)]


def _goes_into(name: str, folders: Iterable[str]) -> bool:
    if UNBUILT & set(PurePath(name).parts):
        return False
    return any(name == folder or name.startswith(f"{folder}/") for folder in folders)
