"""The mesh as a user makes it by hand, step by step; each step is a fixture and is asserted as it is made."""

from collections.abc import Iterator

import pytest
from guide import follow
from inventory import remember
from lab import TEAHOUSE, eventually, forward, get, http, kubectl, rolled_out, run, weft

GUIDE = "getting-started.md"
ROLES = ("cashier", "counter", "greeter", "kettle", "loyalty", "menu", "shelf")


@pytest.fixture(scope="session", autouse=True)
def _cluster() -> None:
    """A cluster answers."""
    done = run("kubectl", "get", "nodes", check=False)
    if done.returncode != 0:
        pytest.exit(f"no cluster: {done.stderr.strip()}. Run make cluster-up first.", returncode=2)


@pytest.fixture(scope="session")
def installed(_cluster: None) -> None:
    """As the guide installs it."""
    if "weft" in kubectl("get", "namespaces", "-o", "name"):
        weft("check")
    else:
        remember()
        follow(GUIDE, "install")


@pytest.fixture(scope="session")
def viz(installed: None) -> None:
    """Likewise; check then includes viz."""
    there = "deployment.apps/web" in kubectl("-n", "weft", "get", "deploy", "-o", "name")
    assert "viz" in (weft("check") if there else follow(GUIDE, "viz"))


@pytest.fixture(scope="session")
def plain_teahouse(viz: None) -> Iterator[None]:
    """The demo without the mesh; its crowd stays at home, so that tests decide about load."""
    follow(GUIDE, "demo")
    kubectl("-n", "teahouse", "scale", "deploy/crowd", "--replicas=0")
    rolled_out("teahouse", *ROLES)
    yield
    kubectl("delete", "-f", str(TEAHOUSE), "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="session")
def unmeshed(plain_teahouse: None) -> dict[str, object]:
    """What page and API say before the demo is meshed."""
    with forward("teahouse", "svc/counter", 80) as counter:
        page = http(f"{counter}/")[0]
    with forward("weft", "deploy/web", 8084) as web:
        answer = eventually(lambda: http(f"{web}/api/v1/stat?kind=deployment&namespace=teahouse")[1])
    return {"page": page, "stat": answer}


@pytest.fixture(scope="session")
def teahouse(unmeshed: dict[str, object]) -> None:
    """As the guide meshes it."""
    follow(GUIDE, "mesh")
    rolled_out("teahouse", *ROLES)
    eventually(only_meshed_pods, 120)
    weft("-n", "teahouse", "check", "--proxy")


def only_meshed_pods() -> bool:
    """Pods from before the injection are gone."""
    pods = get("pods", "-n", "teahouse")["items"]
    return all("weft.dev/proxy-version" in pod["metadata"]["labels"] for pod in pods)


@pytest.fixture
def counter(teahouse: None) -> Iterator[str]:
    """The counter's URL."""
    with forward("teahouse", "svc/counter", 80) as url:
        yield url


@pytest.fixture
def web(viz: None) -> Iterator[str]:
    """The public API's base URL."""
    with forward("weft", "deploy/web", 8084) as url:
        yield url
