"""What the documents say exists: links lead somewhere; commands, their options, make's targets and values are there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from weft.commands.live import tap
from weft.main import cli
from weft.options import shared_options
from weft_tap.match import PARAMETERS
from weft_web.openapi import TAP_PARAMETERS

ROOT = Path(__file__).parents[2]
SKIPPED = {".venv", "node_modules", "target", ".git", "dist"}
PAGES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.md") if not SKIPPED & set(path.relative_to(ROOT).parts))
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)


def code(page: Path) -> Iterator[str]:
    """Lines of a page that are code: of blocks, fenced or indented, and in backticks."""
    text = (ROOT / page).read_text()
    for block in re.findall(r"```\w*[^\n]*\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    yield from (line.strip() for line in text.splitlines() if line.startswith("    "))
    yield from re.findall(r"`([^`\n]+)`", prose(page))


NO_GUIDES = {"testing.md"}
"""Its commands want Grafana, whose image cannot be pulled everywhere."""
GUIDES = [page for page in PAGES if page.is_relative_to("docs") and page.name not in NO_GUIDES]
ENDLESS = re.compile(r"weft (-n \w+ )?viz (tap|top|dashboard)\b")
"""Commands that end when their reader ends them."""


@pytest.mark.parametrize("page", GUIDES, ids=str)
def test_every_command_of_a_guide_is_run(page: Path) -> None:
    """By the integration suite: `sh run` on the demo, `sh run NAME` where a test follows the block of that name."""
    tests = "".join(
        path.read_text() for folder in ("integration", "chaos") for path in (ROOT / "tests" / folder).glob("*.py")
    )
    followed = {f"sh run {name}" for name in re.findall(r"follow\([^,]+, \"([\w-]+)\"", tests)}
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```(sh[^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    assert {mark for mark, _ in blocks} <= {"sh run", "sh endless"} | followed
    endless = [line for mark, block in blocks if mark == "sh endless" for line in block.splitlines()]
    assert [line for line in endless if not ENDLESS.match(line)] == []
    assert re.findall(r"^    (?:weft|kubectl|helm) .*", text, re.MULTILINE) == []


def lines(*blocks: str) -> set[str]:
    """Commands of blocks, without what is said about them."""
    return {re.sub(r"\s+# .*", "", line) for block in blocks for line in block.splitlines() if line}


def test_the_readme_shows_commands_of_guides() -> None:
    """So these are run, too."""
    (block,) = re.findall(
        r"^```\n(weft check --pre\n.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    guide = (ROOT / "docs/getting-started.md").read_text()

    assert lines(block) - lines(*re.findall(r"^```sh[^\n]*\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)) == set()


def anchors(page: Path) -> set[str]:
    """Names by which a page's headings are linked to."""
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the repository, and to a heading of it."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        name, _, heading = link.partition("#")
        target = (page.parent / name) if name else page
        if "://" in link or link.startswith("mailto:"):
            continue
        if not (ROOT / target).exists() or (heading and heading not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_table_of_contents() -> None:
    """Else nobody finds it."""
    listed = re.findall(r"\]\((\w[\w/-]*\.md)\)", (ROOT / "docs/README.md").read_text())

    assert {str(page.relative_to("docs")) for page in PAGES if page.is_relative_to("docs")} - {*listed} == {"README.md"}


def commands(line: str) -> Iterator[list[str]]:
    """The calls of `weft` in a line of shell, without `weft`."""
    words = shlex.split(re.sub(r"[()]", " ", line), comments=True)
    starts = [i for i, word in enumerate(words) if word == "weft" and (i == 0 or words[i - 1] in ("|", "run", "&&"))]
    for start in starts:
        end = next((i for i in range(start, len(words)) if words[i] in ("|", ">", "&&", ";", "<")), len(words))
        yield words[start + 1 : end]


def unknown(words: list[str]) -> str:
    """What of a call the CLI does not know; empty when it knows all."""
    command: click.Command = cli
    context = click.Context(cli, info_name="weft")
    left = list(words)
    while isinstance(command, click.Group):
        while left and left[0].startswith("-"):
            left = left[2:] if left[0] in ("-n", "--context", "--namespace", "--kubeconfig") else left[1:]
        if not left:
            return ""
        try:
            _, found, left = command.resolve_command(context, left)
        except click.UsageError as wrong:
            return wrong.message
        command = found or command
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    given = {word.partition("=")[0] for word in left if re.match(r"--[a-z]", word)}
    return " ".join(given - known - {"--help"})


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=str)
def test_commands_of_the_cli_exist(page: Path) -> None:
    """And so do their options."""
    wrong = []
    for line in (line for line in code(page) if re.match(r"(\$ )?(weft |uv run weft |kubectl .*\| weft )", line)):
        try:
            calls = list(commands(line.removeprefix("$ ").replace("uv run ", "")))
        except ValueError:  # a quotation goes on in the next line
            continue
        wrong += [f"weft {' '.join(call)}: {what}" for call in calls if (what := unknown(call))]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_targets_of_make_exist(page: Path) -> None:
    """`make x` is a target of the Makefile."""
    named = {
        target for line in code(page) for target in re.findall(r"(?:^|&& |; )make (?:-s )?([a-z][a-z0-9-]+)", line)
    }

    assert {target for target in named - TARGETS if not target.startswith("image-")} == set()


WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / ".github/workflows").glob("*.yml")}


def test_workflows_run_targets_of_make() -> None:
    """What a hosted CI runs can be run by hand, and every step of it is a target."""
    jobs = [job for workflow in WORKFLOWS.values() for job in workflow["jobs"].values()]
    scripts = [step["run"] for job in jobs for step in job.get("steps", []) if "run" in step]
    named = [re.findall(r"\bmake (?:-s )?([a-z][a-z0-9-]+)", script) for script in scripts]

    assert [script for script, targets in zip(scripts, named, strict=True) if not targets] == []
    assert (
        {"test", "publish", "changed-units", "release-notes"} <= {target for one in named for target in one} <= TARGETS
    )
    assert [job["uses"] for job in jobs if "uses" in job] == ["./.github/workflows/ci.yml"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_fail_loudly_and_may_little(name: str) -> None:
    """A part of a pipe that fails ends the step; nobody writes to the repository but who announces a release."""
    workflow = WORKFLOWS[name]
    writers = {job for job, it in workflow["jobs"].items() if it.get("permissions", {}).get("contents") == "write"}

    assert (workflow["defaults"], workflow["permissions"]) == ({"run": {"shell": "bash"}}, {"contents": "read"})
    assert writers <= {"announce"}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_nobody_is_told_to_install_a_stranger(page: Path) -> None:
    """Units are built here: by their bare names, package indexes have programs of others."""
    install = re.compile(r"\b(?:(?:pip|pipx|uv tool|uv pip) install|uvx|pipx run|uv add)\s+(?:-\S+\s+)*[\"']?weft\b")

    assert install.findall((ROOT / page).read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_values_of_the_chart_exist(page: Path) -> None:
    """What is given by --set is a key of values.yaml."""
    values = yaml.safe_load((ROOT / "charts/mesh/values.yaml").read_text())
    values["viz"] |= yaml.safe_load((ROOT / "charts/mesh/charts/viz/values.yaml").read_text())
    given = {key for line in code(page) for key in re.findall(r"--set (?:[\w.=]+,)*([a-z][\w.]+)=", line)}

    def known(key: str) -> bool:
        place: Any = values
        for part in key.split("."):
            if not isinstance(place, dict) or part not in place:
                return False
            place = place[part]
        return True

    assert {key for key in given if not known(key)} == set()


def test_the_filters_of_a_tap_are_the_same_everywhere() -> None:
    """In the aggregated API, in the public API's description, on the command line, and on the page but for how long."""
    page = (ROOT / "services/web/dashboard/src/filters.ts").read_text()
    options = {str(option.name) for option in tap.params if isinstance(option, click.Option)}
    own = options - {str(option.name) for option in shared_options()} - {"output", "duration"}
    assert set(TAP_PARAMETERS) - {"namespace", "kind", "name"} == set(PARAMETERS) == own
    assert set(re.findall(r'{ name: "(\w+)"', page)) == set(PARAMETERS) - {"limit", "replay"}
