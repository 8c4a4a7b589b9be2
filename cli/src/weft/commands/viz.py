"""`weft viz`: the group."""

import click

from weft.commands.dashboard import dashboard
from weft.commands.install import viz_install, viz_uninstall
from weft.commands.listing import listing
from weft.commands.live import tap, top
from weft.commands.metrics import edges, routes, stat, stat_inbound, stat_outbound
from weft.commands.profile import learned_profile
from weft.options import Group


@click.group(cls=Group)
def viz() -> None:
    """Metrics, live requests and the dashboard."""


COMMANDS = (
    viz_install, viz_uninstall, dashboard, stat, stat_inbound, stat_outbound, top, tap, edges, routes,
    learned_profile, listing,
)  # fmt: skip

for command in COMMANDS:
    viz.add_command(command)
