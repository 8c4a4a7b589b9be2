"""`weft inject` and `weft uninject`."""

import sys
from typing import TYPE_CHECKING

import click

from weft.errors import Failure
from weft.options import Command

if TYPE_CHECKING:
    from weft.inject import Outcome


@click.command(cls=Command)
@click.argument("sources", nargs=-1, required=True, metavar="FILE|FOLDER|URL|-…")
def inject(sources: tuple[str, ...]) -> None:
    """Mark workloads, so that pods get the proxy.

    Prints the YAML of workloads and namespaces with the mark:
    `kubectl get deploy -o yaml | weft inject - | kubectl apply -f -`.
    What it does not touch stays as it is, byte for byte; what became of each object is told on stderr.
    A workload marked already stays as it is, so it can be run again. A hostNetwork workload cannot be
    injected: then nothing is printed, and the exit code is 1.
    """
    outcome = _transform(sources, remove=False)
    if outcome.errors:
        raise Failure(f"nothing was injected: {'; '.join(outcome.errors)}", "Take these out and try again.")
    if outcome.meshed and not (outcome.changed or outcome.unchanged):
        raise Failure(
            f"already meshed: {', '.join(outcome.meshed)}",
            "Pods cannot be changed: inject the workload that makes them, if it is not marked yet.",
        )
    _print(outcome, done="injected", already="already meshed (it is marked), left as it is")


@click.command(cls=Command)
@click.argument("sources", nargs=-1, required=True, metavar="FILE|FOLDER|URL|-…")
def uninject(sources: tuple[str, ...]) -> None:
    """Take the mark of `weft inject` away.

    `kubectl get deploy -o yaml | weft uninject - | kubectl apply -f -`: new pods have no proxy any more.
    """
    outcome = _transform(sources, remove=True)
    if outcome.errors:
        raise Failure(f"nothing was uninjected: {'; '.join(outcome.errors)}", "Change these by hand and try again.")
    _print(outcome, done="uninjected", already="was not marked, left as it is")


def _transform(sources: tuple[str, ...], remove: bool) -> "Outcome":
    from weft import sources as given
    from weft.inject import Outcome, transform

    total = Outcome()
    for source in sources:
        for name, text in given.read(source):
            total += transform(text, name, remove)
    if not any((total.changed, total.unchanged, total.meshed, total.skipped, total.errors)):
        raise Failure(f"no Kubernetes objects in {', '.join(sources)}", "Give workloads, as YAML or JSON.")
    return total


def _print(outcome: "Outcome", done: str, already: str) -> None:
    sys.stdout.buffer.write(outcome.text.encode())
    sys.stdout.buffer.flush()
    click.echo(report(outcome, done, already), err=True)


def report(outcome: "Outcome", done: str, already: str) -> str:
    """What became of each object, with blank lines around it that keep it apart from kubectl's own."""
    lines = [f"‼ {warning}" for warning in outcome.warnings]
    for names, what in (
        (outcome.changed, done),
        (outcome.unchanged, already),
        (outcome.meshed, "already meshed (it holds the proxy itself), left as it is"),
        (outcome.skipped, "skipped (not a workload)"),
    ):
        lines += [f'{kind} "{name}" {what}' for kind, _, name in (full.partition("/") for full in names)]
    return "\n".join(["", *lines, ""])
