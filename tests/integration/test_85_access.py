"""Who may call whom while nobody tells, and what the installation says of it."""

from collections.abc import Iterator

import pytest
from access_shop import POLICIES, Lab, lets, shop
from lab import eventually, get, kubectl, weft


@pytest.fixture(scope="module")
def lab(installed: None) -> Iterator[Lab]:
    """The shop."""
    with shop() as found:
        yield found


def statuses(lab: Lab, path: str = "/") -> list[int]:
    """What cart, crowd and nobody are answered."""
    return [lab.get(who, path)["status"] for who in ("cart", "crowd", "nobody")]


def test_the_last_policy_holds_without_the_control_plane(lab: Lab) -> None:
    """Destination away: who was let in still is, who was not still is not, and connections may begin anew. A change
    that was made meanwhile holds when it is back."""
    lab.hold(lets("cart"))
    assert statuses(lab) == [200, 403, 403]
    kubectl("-n", "weft", "scale", "deploy/destination", "--replicas=0")
    try:
        eventually(lambda: not get("pods", "-n", "weft", "-l", "weft.dev/component=destination")["items"], 60)
        lab.put(lets("crowd"))
        assert statuses(lab) == [200, 403, 403]
    finally:
        kubectl("-n", "weft", "scale", "deploy/destination", "--replicas=1")
        kubectl("-n", "weft", "rollout", "status", "deploy/destination", "--timeout=120s")
    eventually(lambda: statuses(lab) == [403, 200, 403], 30)


def test_the_installation_s_default_holds_where_nobody_says_so(lab: Lab) -> None:
    """`defaultAccess: deny`: in comes whom a policy lets in, and the kubelet; the control plane works as before."""
    lab.api.call("DELETE", f"{POLICIES}/lets")
    eventually(lambda: statuses(lab) == [200] * 3, 5)
    weft("upgrade", "--set", "defaultAccess=deny", "--apply", "--wait")
    try:
        eventually(lambda: statuses(lab) == [403] * 3, 5)
        assert lab.get("cart")["error"] == "E114 denied by the default of cluster"
        assert statuses(lab, "/healthz") == [200] * 3
        lab.put(lets("cart"))
        eventually(lambda: statuses(lab) == [200, 403, 403], 5)
    finally:
        weft("upgrade", "--set", "defaultAccess=anyone", "--apply")
