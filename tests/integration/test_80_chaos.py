"""What can go away does, for a short while, at 50 requests a second, which two cores carry beside the cluster.

The long forms, at 200, are `make chaos`. What mostly waits goes on beside the others:
they lose nothing for that either.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import traffic
from scenarios import SCENARIOS, Length

SHORT = Length(away=8, rollouts=1, kills=1)

MEANWHILE = ("webhook-certificate-expired", "anchor-rotation")
ORDER = (
    "issuer-rotation",
    "rollouts",
    "killed-under-load",
    "webhook-certificate-expired",  # ends here: it is about the injector's process, and those below end that
    "api-server-unreachable",
    "injector-down",
    "control-plane-away",
    "anchor-rotation",
)


@pytest.fixture(scope="module")
def meanwhile(installed: None, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[str]]]:
    """A meshed caller and server, in a namespace of their own; and what has begun of that which was asked for."""
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    with traffic.running(50), ThreadPoolExecutor() as pool:
        yield {name: pool.submit(SCENARIOS[name], SHORT) for name in MEANWHILE if name in asked}


@pytest.mark.parametrize("name", ORDER)
def test_nothing_is_lost(name: str, meanwhile: dict[str, Future[str]]) -> None:
    """Each scenario holds; its own words say what was promised."""
    assert meanwhile[name].result() if name in meanwhile else SCENARIOS[name](SHORT)


def test_no_scenario_is_left_out() -> None:
    """What make chaos does at length is done here in short."""
    assert set(ORDER) == set(SCENARIOS)
