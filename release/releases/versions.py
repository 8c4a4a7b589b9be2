"""Versions in files: text in, text out, so that comments and order stay. Pure."""

import re

VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class VersionError(ValueError):
    """The version cannot be set; the text says why."""


def parsed(version: str) -> tuple[int, ...]:
    """1.4.0 as numbers, in order of age; VersionError for what is none."""
    if (found := VERSION.fullmatch(version)) is None:
        raise VersionError(f"{version!r} is not a version: write MAJOR.MINOR.PATCH")
    return tuple(map(int, found.groups()))


def in_manifest(text: str) -> str:
    """The version that pyproject.toml, Cargo.toml or Chart.yaml holds."""
    found = re.search(r'^version(?: = |: )"?([^"\n]+)"?$', text, re.MULTILINE)
    if found is None:
        raise VersionError("the file has no version of its own")
    return found[1]


def set_in_toml(text: str, version: str) -> str:
    """A pyproject.toml or Cargo.toml whose package has this version."""
    return _replaced(text, r'^(version = )"[^"]*"', rf'\g<1>"{version}"')


def set_in_lock(text: str, package: str, version: str) -> str:
    """A uv.lock or Cargo.lock where a package of the repository has this version."""
    return _replaced(text, rf'^(name = "{re.escape(package)}"\nversion = )"[^"]*"', rf'\g<1>"{version}"')


def set_in_chart(text: str, version: str) -> str:
    """A Chart.yaml with this version; the subchart goes with it."""
    return re.sub(r"^( *(?:- )?(?:version|appVersion): ).*$", rf"\g<1>{version}", text, flags=re.MULTILINE)


def set_value(text: str, key: str, value: str) -> str:
    """YAML as values.yaml is written (two spaces a level) with another scalar at a dotted key."""
    lines, path, depth = text.splitlines(keepends=True), key.split("."), 0
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if indent < 2 * depth:
            break
        if indent == 2 * depth and line.lstrip().startswith(f"{path[depth]}:"):
            if depth == len(path) - 1:
                lines[number] = f"{line[: line.index(':')]}: {value}\n"
                return "".join(lines)
            depth += 1
    raise VersionError(f"there is no value {key}")


def _replaced(text: str, pattern: str, replacement: str) -> str:
    changed, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
    if not count:
        raise VersionError(f"nothing to set a version in: {pattern}")
    return changed
