"""`weft viz`: the group."""

import click

from weft.commands.install import viz_install, viz_uninstall
from weft.options import Group


@click.group(cls=Group)
def viz() -> None:
    """Metrics, live requests and the dashboard."""


for command in (viz_install, viz_uninstall):
    viz.add_command(command)
