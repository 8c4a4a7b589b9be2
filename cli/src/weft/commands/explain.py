"""`weft explain`: what a word in an output means, or what holds for a pod."""

import difflib

import click

from weft.errors import Failure
from weft.options import Command, Target, pass_target


@click.command(cls=Command)
@click.argument("word", metavar="ID|TYPE/NAME", required=False)
@pass_target
def explain(target: Target, word: str | None) -> None:
    """Say what a word in an output means and what to do (offline), or what holds for a pod.

    ID is a check's (`weft check` prints it), a code of the header weft-error (E104), a reason for plain text
    (no_identity) or of an event, a cause of `weft why -o json`, an alert, or a check of the dashboard. Without it,
    all are listed. `weft explain pod/NAME` tells why the pod has the
    proxy or has not, and for each option the value and whether pod, namespace or chart gave it. For a workload
    (`deploy/NAME`) it tells what its new pods get.
    """
    if word is None:
        click.echo(_everything())
    elif "/" in word:
        from weft.pod_options import page

        kube = target.connect()
        click.echo(page(kube, target.namespace_or_default(kube), word))
    else:
        click.echo(_explained(word))


def _explained(word: str) -> str:
    from weft import explanations
    from weft.checks.plan import every_check

    if text := explanations.text(word):
        return text
    checks = every_check()
    if found := checks.get(word):
        level = "a warning" if found.warning else "an error"
        return f"{word}: {found.description}\n\nWhen it does not hold, that is {level}.\n{found.hint}"
    near = difflib.get_close_matches(word, [*checks, *explanations.EVERY], n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    raise Failure(f"there is nothing called {word!r}", f"{meant}`weft explain` lists what there is.")


def _everything() -> str:
    from weft import explanations
    from weft.checks.plan import every_check
    from weft.views.table import table

    rows = [[name, found.title] for name, found in explanations.EVERY.items()]
    rows += [[name, check.description] for name, check in every_check().items()]
    return table(["ID", "MEANING"], rows, left=2)
