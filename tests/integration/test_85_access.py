"""Who may call whom while nobody tells."""

from collections.abc import Iterator

import pytest
from access_shop import SHOP, Lab, lets, shop
from lab import eventually, forward, get, kubectl


@pytest.fixture(scope="module")
def lab(installed: None) -> Iterator[Lab]:
    """The shop."""
    with shop() as found:
        yield found


def test_the_last_policy_holds_without_the_control_plane(lab: Lab) -> None:
    """Destination away: who was let in still is, who was not still is not, and connections may begin anew."""
    lab.hold(lets("cart"))
    assert [lab.get(who)["status"] for who in ("cart", "crowd", "nobody")] == [200, 403, 403]
    kubectl("-n", "weft", "scale", "deploy/destination", "--replicas=0")
    try:
        eventually(lambda: not get("pods", "-n", "weft", "-l", "weft.dev/component=destination")["items"], 60)
        assert [lab.get(who)["status"] for who in ("cart", "crowd", "nobody")] == [200, 403, 403]
    finally:
        kubectl("-n", "weft", "scale", "deploy/destination", "--replicas=1")
        kubectl("-n", "weft", "rollout", "status", "deploy/destination", "--timeout=120s")
    with forward("weft", "deploy/destination", 9990) as lab.destination:
        eventually(lambda: lab.names() == {f"{SHOP}/lets"}, 30)
        assert [lab.get(who)["status"] for who in ("cart", "crowd")] == [200, 403]
