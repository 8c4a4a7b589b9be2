"""What can go away does, for a short while, at 50 requests a second, which two cores carry beside the cluster.

The long forms, at 200, are `make chaos`. What mostly waits, certificates being renewed, goes on beside the others.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import traffic
from guide import follow
from inventory import keys, pods, settings
from lab import eventually, weft
from scenarios import SCENARIOS, Length

SHORT = Length(away=8, rollouts=1, kills=1)

ALONE = ("killed-under-load", "api-server-unreachable", "api-server-restarted", "injector-down", "control-plane-away")
TOGETHER = ("issuer-rotation", "rollouts", "webhook-certificate-expired")
MEANWHILE = TOGETHER[2:]
ELSEWHERE = ("anchor-rotation",)
"""test_60_anchor.py"""


@pytest.fixture(scope="module")
def _flowing(installed: None) -> Iterator[None]:
    """A caller and a server, both meshed, in a namespace of their own."""
    with traffic.running(50):
        yield


@pytest.fixture(scope="module")
def meanwhile(_flowing: None, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[str]]]:
    """What has begun, of that which was asked for."""
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    with ThreadPoolExecutor() as pool:
        yield {name: pool.submit(SCENARIOS[name], SHORT) for name in MEANWHILE if name in asked}


@pytest.mark.usefixtures("_flowing")
@pytest.mark.parametrize("name", ALONE)
def test_nothing_is_lost(name: str) -> None:
    """Each scenario holds; its own words say what was promised."""
    assert SCENARIOS[name](SHORT)


@pytest.mark.parametrize("name", TOGETHER)
def test_nothing_is_lost_while_certificates_change(name: str, meanwhile: dict[str, Future[str]]) -> None:
    """Likewise, side by side."""
    assert meanwhile[name].result() if name in meanwhile else SCENARIOS[name](SHORT)


@pytest.mark.usefixtures("_flowing")
def test_nothing_is_lost_while_the_mesh_is_upgraded(viz: None) -> None:
    """All of the control plane is replaced; keys stay, and what was set stays set when an upgrade sets nothing."""
    first, kept = pods(), keys()
    with traffic.lossless():
        weft("upgrade", "--set", "global.logLevel=warning,viz.grafana.enabled=false", "--apply", "--wait")
    eventually(lambda: {unit for name, unit in pods().items() if name in first} == {"prometheus"})
    again = pods()

    follow("operations/production.md", "upgrade-cli")

    assert (pods(), keys(), settings()) == (again, kept, {"global": {"logLevel": "warning"}})


def test_no_scenario_is_left_out() -> None:
    """What make chaos does at length is done here in short."""
    assert {*ALONE, *TOGETHER, *ELSEWHERE} == set(SCENARIOS)
