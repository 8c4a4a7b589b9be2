"""`weft inject` and `weft uninject`."""

import sys
from typing import TYPE_CHECKING

import click

from weft.errors import Failure
from weft.options import Command, Target, pass_target

if TYPE_CHECKING:
    from weft.inject import Outcome, Task


_sources = click.argument("sources", nargs=-1, required=True, metavar="FILE|FOLDER|URL|-…")
_diff = click.option("--diff", is_flag=True, help="Print what would change, instead of the YAML.")


@click.command(cls=Command)
@_sources
@click.option("--manual", is_flag=True, help="Add the whole sidecar, as the injector would, instead of the mark.")
@_diff
@pass_target
def inject(target: Target, sources: tuple[str, ...], manual: bool, diff: bool) -> None:
    """Mark workloads, so that pods get the proxy.

    Prints the YAML of workloads and namespaces with the mark:
    `kubectl get deploy -o yaml | weft inject - | kubectl apply -f -`.
    What it does not touch stays as it is, byte for byte; what became of each object is told on stderr.
    A workload marked already stays as it is, so it can be run again. A hostNetwork workload cannot be
    injected: then nothing is printed, and the exit code is 1.

    With --manual, pods get the proxy without the injector: the cluster's own sidecar, with the options of the
    workload and of its namespace.
    """
    from weft.inject import MARK

    texts = _texts(sources)
    outcome = _transform(texts, _manual(target, texts) if manual else MARK, diff)
    if outcome.errors:
        raise Failure(f"nothing was injected: {'; '.join(outcome.errors)}", "Take these out and try again.")
    if outcome.meshed and not (outcome.changed or outcome.unchanged):
        raise Failure(
            f"already meshed: {', '.join(outcome.meshed)}",
            "Pods cannot be changed: inject the workload that makes them, if it is not marked yet.",
        )
    _print(outcome, done="injected", already="already meshed (it is marked), left as it is")


@click.command(cls=Command)
@_sources
@_diff
def uninject(sources: tuple[str, ...], diff: bool) -> None:
    """Take away what `weft inject` did, the mark or the whole sidecar.

    `kubectl get deploy -o yaml | weft uninject - | kubectl apply -f -`: new pods have no proxy any more.
    """
    from weft.inject import Task

    outcome = _transform(_texts(sources), Task(remove=True), diff)
    if outcome.errors:
        raise Failure(f"nothing was uninjected: {'; '.join(outcome.errors)}", "Change these by hand and try again.")
    _print(outcome, done="uninjected", already="was not marked, left as it is")


def _texts(sources: tuple[str, ...]) -> list[tuple[str, str]]:
    from weft.sources import read

    texts = [found for source in sources for found in read(source, "utf-8")]
    if not texts:
        raise Failure(f"no YAML or JSON in {', '.join(sources)}", "Give workloads.")
    return texts


def _manual(target: Target, texts: list[tuple[str, str]]) -> "Task":
    from weft.inject import Task, namespaces
    from weft.manual import Manual
    from weft.pod_options import proxy_template

    kube = target.connect()
    default = target.namespace_or_default(kube)
    names = set().union(*(namespaces(text, name, default) for name, text in texts))
    found = {name: kube.find(f"/api/v1/namespaces/{name}") or {} for name in names}
    annotations = {name: one.get("metadata", {}).get("annotations") or {} for name, one in found.items()}
    return Task(manual=Manual(proxy_template(kube), annotations), namespace=default)


def _transform(texts: list[tuple[str, str]], task: "Task", diff: bool) -> "Outcome":
    from weft.inject import Outcome, transform

    total = Outcome()
    for name, text in texts:
        outcome = transform(text, name, task)
        if diff:
            outcome.text = _difference(name, text, outcome.text)
        total += outcome
    if not any((total.changed, total.unchanged, total.meshed, total.skipped, total.errors)):
        names = ", ".join(name for name, _ in texts)
        raise Failure(f"no Kubernetes objects in {names}", "Give workloads, as YAML or JSON.")
    return total


def _difference(name: str, before: str, after: str) -> str:
    from difflib import unified_diff

    return "".join(unified_diff(before.splitlines(True), after.splitlines(True), name, f"{name} (new)"))


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
