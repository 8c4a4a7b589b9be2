"""One mesh for all tests of a session; each must leave it as it found it."""

import os
import resource
from collections.abc import Iterator

import pytest
from hostile import honest
from mesh import PROXY, TOOLS, Mesh, eventually


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What attacks comes first: connections that others leave in pools would count as its own for a while."""
    items.sort(key=lambda item: "seasoned" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def mesh() -> Iterator[Mesh]:
    """Two pods, a control plane, applications."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    for program in (PROXY / "weft-proxy", PROXY / "weft-proxy-init", TOOLS / "app"):
        assert program.exists(), f"{program} is missing: make proxy-tools"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Mesh() as made:
        yield made


@pytest.fixture(scope="session")
def seasoned(mesh: Mesh) -> Mesh:
    """The mesh after honest work: what memory is given back is measured from here, after each test."""
    pods = (mesh.client, mesh.server)
    before = [pod.descriptors() for pod in pods]
    honest(mesh)
    for pod, idle in zip(pods, before, strict=True):
        eventually("only kept connections are left", lambda p=pod, n=idle: p.descriptors() <= n + 8)
        pod.honest = (pod.descriptors(), *pod.held())
    return mesh


@pytest.fixture(autouse=True)
def _no_panic(mesh: Mesh) -> Iterator[None]:
    """Whatever a test does, no proxy panics and none goes away."""
    yield
    pods = (mesh.client, mesh.server, mesh.gateway)
    assert [(pod.panics(), pod.process.poll()) for pod in pods] == [(0, None)] * 3
