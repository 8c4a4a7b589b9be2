"""Which categories a run has, and every check there is."""

from weft.checks import control_plane, dataplane, identity, kubernetes, networks, preinstall, viz, webhooks
from weft.checks.model import Category, Check

BEFORE = (kubernetes.API, kubernetes.VERSION, preinstall.CATEGORY)
INSTALLED = (
    kubernetes.API,
    kubernetes.VERSION,
    control_plane.CONFIG,
    control_plane.EXISTENCE,
    networks.CATEGORY,
    identity.CATEGORY,
    webhooks.CATEGORY,
)
VIZ = viz.CATEGORY
PROXY = dataplane.CATEGORY


def every_check() -> dict[str, Check]:
    """All checks by id."""
    categories: tuple[Category, ...] = (preinstall.CATEGORY, *INSTALLED, VIZ, PROXY)
    return {check.id: check for category in categories for check in category.checks}
