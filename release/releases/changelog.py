"""A unit's CHANGELOG from fragments: `changes/<unit>/<any name>.md`, one change each. Pure."""

import re
from collections.abc import Mapping

HEADING = re.compile(r"^## (\S+).*$", re.MULTILINE)


def released(text: str, version: str, fragments: Mapping[str, str]) -> str:
    """The CHANGELOG with a section for the version, newest first.

    What is under `## Unreleased`, or already under the version's own heading, comes first; the fragments follow in
    the order of their names. ValueError when there is nothing to tell.
    """
    title, body, older = _parts(text, {"Unreleased", version})
    bullets = [bullet(fragments[name]) for name in sorted(fragments)]
    told = "\n".join([*([body] if body else []), *bullets])
    if not told:
        raise ValueError("there is nothing to release: no fragment under changes/, no line in the CHANGELOG")
    return "\n\n".join(part for part in (title, f"## {version}", told, older) if part) + "\n"


def bullet(fragment: str) -> str:
    """A fragment as an item of a list; it may be written as one already."""
    lines = fragment.strip().removeprefix("- ").splitlines()
    return "\n".join(["- " + lines[0], *("  " + line.strip() for line in lines[1:])])


def section(text: str, version: str) -> str:
    """What a CHANGELOG tells of a version; empty when it has none."""
    return _parts(text, {version})[1]


def _parts(text: str, open_headings: set[str]) -> tuple[str, str, str]:
    """What stands before the first of these sections, in it and behind it; without one, all sections stand behind."""
    headings = list(HEADING.finditer(text))
    starts = [heading.start() for heading in headings] + [len(text)]
    for heading, end in zip(headings, starts[1:], strict=True):
        if heading[1] in open_headings:
            return text[: heading.start()].strip(), text[heading.end() : end].strip(), text[end:].strip()
    return text[: starts[0]].strip(), "", text[starts[0] :].strip()
