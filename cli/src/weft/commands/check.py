"""`weft check`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from weft import durations, version
from weft.errors import Failure
from weft.options import Command, Target, output_option, pass_target

if TYPE_CHECKING:
    from weft.checks.model import Category, Result, Scene


@click.command(cls=Command)
@click.option("--pre", is_flag=True, help="Check whether weft can be installed here.")
@click.option("--proxy", is_flag=True, help="Check the proxies, too: of namespace -n, or of all.")
@click.option(
    "--wait",
    callback=durations.option,
    default="5m",
    metavar="TIME",
    help="Wait so long for what may still become ready (default: 5m).",
)
@output_option("table", "json", "short")
@pass_target
def check(target: Target, pre: bool, proxy: bool, wait: float, output: str) -> None:
    """Check cluster, control plane and proxies.

    Without options it checks an installation, viz included if it is there. The exit code is 1 if a check
    fails (×); warnings (‼) do not count. `weft explain ID` says more about a check.
    """  # noqa: RUF002
    from weft.checks import report
    from weft.checks.model import Scene

    if pre and proxy:
        raise Failure("--pre and --proxy exclude each other", "Proxies are there after the installation.")
    scene = Scene(target.connect, version(), target.namespace)
    results: list[Result] = []
    for result in _run(scene, pre, proxy, wait):
        if output == "table" or (output == "short" and result.result != "success"):
            _print(result, results)
        results.append(result)
    click.echo(report.document(results) if output == "json" else _ending(results, output))
    if failed := report.first_error(results):
        raise Failure(failed.error.partition("\n")[0], failed.hint)


def _run(scene: "Scene", pre: bool, proxy: bool, wait: float) -> "Iterator[Result]":
    from weft.checks.runner import run

    with _spinner() as progress:
        yield from run(_categories(scene, pre, proxy), scene, wait, progress)


def _categories(scene: "Scene", pre: bool, proxy: bool) -> "Iterator[Category]":
    """Lazily, because whether viz is there is known only once the API answers."""
    from weft.checks import plan, viz

    yield from plan.BEFORE if pre else plan.INSTALLED
    if not pre and viz.is_installed(scene):
        yield plan.VIZ
    if proxy:
        yield plan.PROXY


def _print(result: "Result", earlier: "list[Result]") -> None:
    from weft.checks import report

    if not earlier or earlier[-1].category != result.category:
        click.echo(report.heading(result.category, first=not earlier))
    click.echo(report.entry(result))


def _ending(results: "list[Result]", output: str) -> str:
    from weft.checks import report

    quiet = output == "short" and all(result.result == "success" for result in results)
    return ("" if quiet else "\n") + report.summary(results)


@contextmanager
def _spinner() -> Iterator[Callable[[str], None]]:
    """On a terminal, the check that runs and what it waits for."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.text import Text

    console, spinner = Console(stderr=True), Spinner("dots")

    def show(text: str) -> None:
        spinner.update(text=Text(text.splitlines()[0][: console.width - 4]))

    # Lines for the same terminal must go above the spinner; those for a pipe must not go to the terminal.
    with Live(spinner, console=console, transient=True, redirect_stdout=sys.stdout.isatty()):
        yield show
