"""`weft why` on a cluster: faults provoked one beside the other, each named first for its own Service."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import why_lab
from lab import eventually, kubectl, rolled_out, weft
from why_lab import SPACE

FAULTS = (
    "crash-loop", "oom-killed", "image-pull", "container-config", "readiness", "unschedulable", "scaled-to-zero",
    "pods-refused", "selector-matches-no-pod", "service-without-selector", "wrong-target-port", "connection-refused",
    "timeout-too-small", "slow-server", "one-pod", "one-route", "application-error", "protocol", "connection-lost",
    "dns-name",
)  # fmt: skip
HEALTHY = "healthy"
NEW_VERSION = "rollout"
LATE = "not-injected"
SKIPPED = "injection-skipped"


@pytest.fixture(scope="module")
def lab(viz: None) -> Iterator[None]:
    """All servers and their caller; what is to be older than the namespace's mark is made before it."""
    names = [*FAULTS, HEALTHY, NEW_VERSION]
    apply = why_lab.apply
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    try:
        apply(why_lab.deployment(LATE))
        rolled_out(SPACE, LATE)
        kubectl("label", "namespace", SPACE, "weft.dev/inject=enabled")
        kinds = {name: "StatefulSet" if name == "one-pod" else "Deployment" for name in names}
        apply(*(why_lab.service(name) for name in names), *map(why_lab.profile, why_lab.TIMEOUTS))
        apply(why_lab.deployment(SKIPPED), *(why_lab.deployment(name, kind) for name, kind in kinds.items()))
        rolled_out(SPACE, HEALTHY, NEW_VERSION, "one-route", "application-error")
        apply(why_lab.caller(names))
        rolled_out(SPACE, "caller")
        yield
    finally:
        kubectl("delete", "namespace", SPACE, "--wait=false")


def causes(subject: str) -> list[dict[str, Any]]:
    """The causes that why names."""
    found: list[dict[str, Any]] = json.loads(weft("-n", SPACE, "why", subject, "--since", "60s", "-o", "json"))[
        "causes"
    ]
    return found


def first(subject: str) -> str:
    """The id of the likeliest; empty without any."""
    return next((str(cause["id"]) for cause in causes(subject)), "")


@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_cause_is_the_fault(lab: None, fault: str) -> None:
    """Asked about the Service that its callers use."""

    def named() -> bool:
        assert first(f"svc/{fault}") == fault
        return True

    assert eventually(named, 90, every=2)


@pytest.mark.parametrize("name", [LATE, SKIPPED])
def test_a_workload_without_proxy(lab: None, name: str) -> None:
    """It is older than its mark, or the injector said why it may not have one."""
    assert first(f"deploy/{name}") == name


def test_nothing_is_wrong_with_a_healthy_service(lab: None) -> None:
    """Although everything around it is broken."""
    assert causes(f"svc/{HEALTHY}") == []
    assert causes(f"deploy/{HEALTHY}") == []


def test_a_new_version_that_fails(lab: None) -> None:
    """It was well before the rollout."""
    assert first(f"svc/{NEW_VERSION}") == ""
    kubectl("-n", SPACE, "set", "env", f"deploy/{NEW_VERSION}", "BEHAVE=all")
    rolled_out(SPACE, NEW_VERSION)
    assert eventually(lambda: first(f"svc/{NEW_VERSION}") == NEW_VERSION, 60, every=2)


def test_a_request_by_its_number(lab: None) -> None:
    """The pod and the id that tap prints lead to the same cause."""

    def named() -> bool:
        events = weft("-n", SPACE, "viz", "tap", "deploy/one-route", "--status", "500", "--limit", "1", "-o", "json")
        event = json.loads(events.splitlines()[0])
        assert first(f"{event['pod']}/{event['id']}") == "one-route"
        return True

    assert eventually(named, 60)
