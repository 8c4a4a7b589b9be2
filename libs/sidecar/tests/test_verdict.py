"""Which pods get the proxy, which do not, and which must not start."""

from typing import Any

import pytest
from weft_sidecar.options import Setting
from weft_sidecar.verdict import RefusedError, Skip, check_conflicts, skip_reason, warnings

Json = dict[str, Any]

ENABLED = {"weft.dev/inject": "enabled"}
DISABLED = {"weft.dev/inject": "disabled"}
INJECTED = {"weft.dev/proxy-version": "0.1.0"}


def pod(annotations: dict[str, str] | None = None, labels: dict[str, str] | None = None, **spec: Any) -> Json:
    """A pod with these annotations, labels and fields of its spec."""
    given = {"annotations": annotations, "labels": labels}
    metadata = {"name": "web"} | {key: value for key, value in given.items() if value}
    return {"metadata": metadata, "spec": {"containers": [{"name": "web"}], **spec}}


@pytest.mark.parametrize(
    ("pod", "namespace", "reason"),
    [
        (pod(), ENABLED, None),
        (pod(ENABLED), {}, None),
        (pod(ENABLED), DISABLED, None),
        (pod(), {}, Skip.NOT_ENABLED),
        (pod(), DISABLED, Skip.NOT_ENABLED),
        (pod(DISABLED), ENABLED, Skip.DISABLED),
        (pod(hostNetwork=True), ENABLED, Skip.HOST_NETWORK),
        (pod(os={"name": "windows"}), ENABLED, Skip.NOT_LINUX),
        (pod({"kubernetes.io/config.mirror": "x"}), ENABLED, Skip.MIRROR_POD),
        (pod(labels=INJECTED, initContainers=[{"name": "weft-proxy"}]), ENABLED, Skip.ALREADY_INJECTED),
        (pod(initContainers=[{"name": "weft-proxy"}]), ENABLED, None),
        (pod(labels=INJECTED, containers=[{"name": "weft-proxy"}]), ENABLED, None),
    ],
)
def test_a_skip_has_its_reason(pod: Json, namespace: dict[str, str], reason: Skip | None) -> None:
    """The pod's annotation wins over the namespace's label."""
    assert skip_reason(pod, namespace) == reason


def test_an_unknown_wish_is_refused() -> None:
    """A typo in the annotation must not leave a pod without its proxy."""
    with pytest.raises(RefusedError, match="'yes', not enabled or disabled"):
        skip_reason(pod({"weft.dev/inject": "yes"}), {})


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"containers": [{"name": "a", "ports": [{"containerPort": 4143}]}]}, "container a uses port 4143"),
        ({"initContainers": [{"name": "b", "ports": [{"containerPort": 4191}]}]}, "container b uses port 4191"),
        ({"securityContext": {"runAsUser": 2102}}, "the pod uses uid 2102"),
        ({"containers": [{"name": "c", "securityContext": {"runAsUser": 2102}}]}, "container c uses uid 2102"),
        ({"containers": [{"name": "weft-proxy"}]}, "container weft-proxy uses that name"),
        ({"initContainers": [{"name": "weft-init"}]}, "container weft-init uses that name"),
    ],
)
def test_what_is_the_proxys_own_is_refused(spec: Json, reason: str) -> None:
    """Ports and uid, by which the pod's traffic would loop or go past the proxy, and names of containers."""
    with pytest.raises(RefusedError, match=f"{reason}, which is the proxy's own"):
        check_conflicts(pod(**spec), {})


def test_an_ordinary_pod_has_no_conflict() -> None:
    """Other ports and users are the pod's business."""
    check_conflicts(
        pod(containers=[{"name": "a", "ports": [{"containerPort": 8080}]}], securityContext={"runAsUser": 1}), {}
    )


def test_ports_of_the_proxy_may_be_chosen() -> None:
    """Then the application has the usual one, and the chosen one is the proxy's own."""
    found = {"inbound-port": Setting("14143", "pod")}
    check_conflicts(pod(containers=[{"name": "a", "ports": [{"containerPort": 4143}]}]), found)

    with pytest.raises(RefusedError, match="container a uses port 14143"):
        check_conflicts(pod(containers=[{"name": "a", "ports": [{"containerPort": 14143}]}]), found)


def test_two_listeners_do_not_share_a_port() -> None:
    """The proxy could not start."""
    with pytest.raises(RefusedError, match="must differ"):
        check_conflicts(pod(), {"inbound-port": Setting("4140", "pod")})


@pytest.mark.parametrize(
    ("grace", "limit", "warned"),
    [
        ("30s", {}, False),
        ("31s", {}, True),
        ("1h", {}, True),
        ("500ms", {"terminationGracePeriodSeconds": 0}, True),
    ],
)
def test_a_grace_that_the_pod_does_not_have_is_warned_of(grace: str, limit: Json, warned: bool) -> None:
    """The kubelet ends the proxy before."""
    assert bool(warnings(pod(**limit), {"shutdown-grace": Setting(grace, "pod")})) == warned
