"""`weft prune`: what older versions and former settings have left behind."""

import click

from weft.errors import Failure
from weft.options import Command, Target, pass_target


@click.command(cls=Command)
@pass_target
def prune(target: Target) -> None:
    """Print the objects that the installation no longer has.

    `weft prune | kubectl delete -f -` after an upgrade deletes what older versions and former settings have left.
    Prints nothing when nothing is left over.
    """
    from weft import installed, render

    kube = target.connect()
    config = installed.config(kube)
    if config is None:
        raise Failure("weft is not installed in this cluster", "There is nothing to prune.")
    if release := installed.helm_release(config):
        raise Failure(f"this installation belongs to the Helm release {release!r}", "`helm upgrade` prunes by itself.")
    packaged, manifests = render.packaged(), render.rendered((), installed.settings(kube))
    text = manifests.core + (manifests.viz if installed.tap_service(kube) else "")
    left = installed.left_over(kube, render.parse(packaged.core + packaged.viz), render.parse(text))
    if left:
        click.echo(installed.to_delete(left), nl=False)
    else:
        click.echo("nothing is left over", err=True)
