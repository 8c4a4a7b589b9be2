"""`weft why` on a cluster: faults provoked one beside the other, each named first for its own Service."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import why_lab
from lab import eventually, kubectl, rolled_out, weft
from why_lab import NEXT, SPACE

FAULTS = (
    "crash-loop", "oom-killed", "image-pull", "container-config", "readiness", "unschedulable", "scaled-to-zero",
    "pods-refused", "selector-matches-no-pod", "service-without-selector", "wrong-target-port", "connection-refused",
    "timeout-too-small", "slow-server", "one-pod", "one-route", "application-error", "protocol", "connection-lost",
    "dns-name", "denied", "rate-limited",
)  # fmt: skip
HEALTHY = "healthy"
NEIGHBOUR = "pods"
"""Well, though pods are refused to one whose name begins alike."""

NAMESAKE = "denied"
NEW_VERSION = "rollout"
LATE = "not-injected"
SKIPPED = "injection-skipped"
NOBODY = "scaled-to-zero"
PATIENCE_SECONDS = 90
AGAIN = 2
ASKED_AT_A_TIME = 4
ASK = f"""
from urllib.request import urlopen
try:
    urlopen("http://{NOBODY}/")
except OSError as error:
    print(error.headers["weft-request-id"])
"""


@pytest.fixture(scope="module")
def lab(viz: None) -> Iterator[None]:
    """All servers and their caller; what is to be older than the namespace's mark is made before it."""
    names = [*FAULTS, HEALTHY, NEIGHBOUR, NEW_VERSION]
    apply, make = why_lab.apply, why_lab.deployment
    apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}} for space in (SPACE, NEXT)))
    try:
        apply(make(LATE))
        rolled_out(SPACE, LATE)
        kubectl("label", "namespace", SPACE, NEXT, "weft.dev/inject=enabled")
        kinds = {name: "StatefulSet" if name == "one-pod" else "Deployment" for name in names}
        apply(*map(why_lab.service, names), *map(why_lab.profile, why_lab.TIMEOUTS))
        apply(*map(why_lab.policy, ("denied", "rate-limited")))
        apply(*map(why_lab.elsewhere, (why_lab.service(NAMESAKE), make(NAMESAKE))))
        apply(make(SKIPPED), *(make(name, kind) for name, kind in kinds.items()))
        rolled_out(SPACE, HEALTHY, NEIGHBOUR, NEW_VERSION, "one-route", "application-error")
        rolled_out(NEXT, NAMESAKE)
        apply(why_lab.caller([*names, f"{NAMESAKE}.{NEXT}"]))
        rolled_out(SPACE, "caller")
        yield
    finally:
        kubectl("delete", "namespace", SPACE, NEXT, "--wait=false")


def causes(subject: str, space: str = SPACE) -> list[dict[str, Any]]:
    """The causes that why names."""
    asked = weft("-n", space, "why", subject, "--since", "60s", "-o", "json")
    return list(json.loads(asked)["causes"])


def first(subject: str) -> str:
    """The id of the likeliest; empty without any."""
    return next((str(cause["id"]) for cause in causes(subject)), "")


@pytest.fixture(scope="module")
def named(lab: None) -> dict[str, list[str]]:
    """The first cause for the Service of each fault, several asked at a time: as soon as it is right, and then again;
    what was wrong if it stays wrong."""

    def ask(fault: str) -> list[str]:
        def right() -> str:
            found = first(f"svc/{fault}")
            assert found == fault
            return found

        try:
            return [eventually(right, PATIENCE_SECONDS, every=2), *(first(f"svc/{fault}") for _ in range(AGAIN))]
        except AssertionError as error:
            return [str(error)]

    with ThreadPoolExecutor(ASKED_AT_A_TIME) as pool:
        return dict(zip(FAULTS, pool.map(ask, FAULTS), strict=True))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_cause_is_the_fault(named: dict[str, list[str]], fault: str) -> None:
    """Asked about the Service that its callers use; what is right once stays right."""
    assert named[fault] == [fault] * (1 + AGAIN)


@pytest.mark.parametrize("name", [LATE, SKIPPED])
def test_a_workload_without_proxy(lab: None, name: str) -> None:
    """It is older than its mark, or the injector said why it may not have one."""
    assert first(f"deploy/{name}") == name


def test_nothing_is_wrong_with_what_is_healthy(lab: None) -> None:
    """Although everything around is broken, and so are one whose name begins alike and a namesake elsewhere."""
    well = ((HEALTHY, SPACE), (NEIGHBOUR, SPACE), (NEW_VERSION, SPACE), (NAMESAKE, NEXT))
    asked = [(f"{kind}/{name}", space) for name, space in well for kind in ("svc", "deploy")]
    with ThreadPoolExecutor(ASKED_AT_A_TIME) as pool:
        found = dict(zip(asked, pool.map(lambda one: causes(*one), asked), strict=True))
    assert found == {one: [] for one in asked}


def test_a_new_version_that_fails(lab: None) -> None:
    """It was well before the rollout."""
    assert first(f"svc/{NEW_VERSION}") == ""
    kubectl("-n", SPACE, "set", "env", f"deploy/{NEW_VERSION}", "BEHAVE=all")
    rolled_out(SPACE, NEW_VERSION)
    assert eventually(lambda: first(f"svc/{NEW_VERSION}") == NEW_VERSION, 60, every=2)


def test_a_request_by_its_number(lab: None) -> None:
    """The pod and the id that tap prints of a request that was lead to the same cause."""
    options = ("--status", "500", "--replay", "256", "--limit", "1", "-o", "json")

    def leads_there() -> bool:
        events = weft("-n", SPACE, "viz", "tap", "deploy/one-route", *options).splitlines()
        assert events, "tap showed no request"
        event = json.loads(events[0])
        assert first(f"{event['pod']}/{event['id']}") == "one-route"
        return True

    assert eventually(leads_there, PATIENCE_SECONDS)


def test_a_request_by_the_name_beside_its_error(lab: None) -> None:
    """What the proxy that answered calls it leads to the cause; the namespace is in it."""
    name = kubectl("-n", SPACE, "exec", "deploy/caller", "-c", "app", "--", "python3", "-c", ASK).strip()
    assert name.startswith(f"{SPACE}/caller-")
    (cause, *_) = json.loads(weft("why", name, "-o", "json"))["causes"]
    assert cause["id"] == NOBODY
