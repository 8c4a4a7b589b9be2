"""Proxies one release behind and ahead of the control plane, with the images of the release before.

They are built from the tags of proxy, destination, identity and tap. `make skew COMMIT=…` takes any commit instead.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import traffic
from lab import ROOT, eventually, get, kubectl, rolled_out, run, weft
from releases.repository import Repository
from releases.units import UNITS

PREFIX = "weft.previous/"
SPEAK = ("proxy", "destination", "identity", "tap")


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Images of the release before, in the cluster."""
    repository, commit = Repository(ROOT), os.environ.get("WEFT_SKEW", "")
    tags = {name: commit or repository.previous(UNITS[name]) for name in SPEAK}
    if missing := [name for name in SPEAK if not tags[name]]:
        pytest.skip(f"no release of {', '.join(missing)} has a tag yet: there is nothing to be one version apart from")
    return {name: built(name, tag, tmp_path_factory.mktemp(name)) for name, tag in tags.items()}


def built(name: str, tag: str, clone: Path) -> str:
    """The unit's image as the tag's own files make it, under a prefix that is only for this."""
    run("git", "clone", "-q", "--shared", "--no-checkout", str(ROOT), str(clone))
    run("git", "-C", str(clone), "checkout", "-q", "--detach", run("git", "rev-parse", f"{tag}^{{}}").stdout.strip())
    build = clone / "tests/cluster/images/build"
    assert "IMAGE_PREFIX" in build.read_text(), f"{tag} would build {name} by its present name: choose a newer commit"
    archive = run("env", f"IMAGE_PREFIX={PREFIX}", str(build), name, timeout=1800).stdout.splitlines()[-1]
    run(str(ROOT / "tests/cluster/cluster"), "load", archive)
    return f"{PREFIX}{name}:{Repository(clone).version(UNITS[name])}"


@pytest.fixture(scope="module")
def _flowing(previous: object, viz: None) -> Iterator[None]:
    """A caller and a server with proxies of the tree."""
    with traffic.running(50):
        yield


def proxies(deployment: str, image: str | None) -> None:
    """Another image for the proxies of a deployment; None: the chart's."""
    annotations = {"config.weft.dev/proxy-image": image}
    patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    kubectl("-n", traffic.NAMESPACE, "patch", f"deploy/{deployment}", "-p", json.dumps(patch))
    rolled_out(traffic.NAMESPACE, deployment)


@pytest.mark.usefixtures("_flowing")
def test_proxies_are_behind(previous: dict[str, str]) -> None:
    """A server's first, while callers have the new one; then the callers', too."""
    with traffic.lossless():
        proxies(traffic.SERVER, previous["proxy"])
    eventually(tapped)
    proxies(traffic.CALLER, previous["proxy"])
    eventually(lambda: one_caller() and traffic.totals()["ok"] > 50)
    with traffic.lossless():
        kubectl("-n", "weft", "rollout", "restart", "deploy/destination")
        rolled_out("weft", "destination")
    for deployment in (traffic.SERVER, traffic.CALLER):
        proxies(deployment, None)
    eventually(one_caller)


def one_caller() -> bool:
    """The one from before has ended: what is counted is the new one's."""
    return len(get("pods", "-n", traffic.NAMESPACE, "-l", f"app={traffic.CALLER}")["items"]) == 1


@pytest.mark.usefixtures("_flowing")
@pytest.mark.parametrize("name", ["destination", "identity"])
def test_proxies_are_ahead(previous: dict[str, str], name: str) -> None:
    """An old service tells running proxies what they ask, and a new pod gets what it needs."""
    containers = get("deploy", name, "-n", "weft")["spec"]["template"]["spec"]["containers"]
    (present,) = (container["image"] for container in containers if container["name"] == name)
    with traffic.lossless():
        try:
            image(name, previous[name])
            traffic.fresh_pod("new")
            kubectl("-n", traffic.NAMESPACE, "wait", "pod/new", "--for=condition=Ready", "--timeout=60s")
            kubectl("-n", traffic.NAMESPACE, "rollout", "restart", f"deploy/{traffic.SERVER}")
            rolled_out(traffic.NAMESPACE, traffic.SERVER)
        finally:
            image(name, present)
            traffic.gone("new")


@pytest.mark.usefixtures("_flowing")
def test_proxies_are_ahead_of_tap(previous: dict[str, str]) -> None:
    """An old tap shows what a new proxy sees."""
    containers = get("deploy", "tap", "-n", "weft")["spec"]["template"]["spec"]["containers"]
    (present,) = (container["image"] for container in containers if container["name"] == "tap")
    try:
        image("tap", previous["tap"])
        eventually(tapped)
    finally:
        image("tap", present)


def tapped() -> bool:
    """A request to the server, live."""
    live = weft("-n", traffic.NAMESPACE, "viz", "tap", f"deploy/{traffic.SERVER}", "--limit", "1", "--duration", "20s")
    return "/charge" in live


def image(name: str, reference: str) -> None:
    """Another image for a service of the control plane; its proxy stays."""
    kubectl("-n", "weft", "set", "image", f"deploy/{name}", f"{name}={reference}")
    rolled_out("weft", name)
