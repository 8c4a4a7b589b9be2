"""One mesh for all tests of a session; each must leave it as it found it."""

import os
import resource
import shutil
from collections.abc import Iterator

import pytest
from mesh import PROXY, TOOLS, Mesh


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Two pods, a control plane, applications."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    for program in (PROXY / "weft-proxy", PROXY / "weft-proxy-init", TOOLS / "app"):
        assert program.exists(), f"{program} is missing: make proxy-tools"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tmp_path_factory.mktemp("mesh")
    for parent in [folder, *folder.parents][:3]:
        parent.chmod(0o755)  # the proxies are no root and read their token and bundle here
    with Mesh(folder) as made:
        yield made
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _no_panic(mesh: Mesh) -> Iterator[None]:
    """Whatever a test does, no proxy panics and none goes away."""
    yield
    pods = (mesh.client, mesh.server, mesh.gateway)
    assert [(pod.panics(), pod.process.poll()) for pod in pods] == [(0, None)] * 3
