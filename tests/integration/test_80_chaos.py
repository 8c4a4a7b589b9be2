"""What can go away does, for a short while, at 50 requests a second, which two cores carry beside the cluster.

The long forms, at 200, are `make chaos`.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import traffic
from lab import eventually, get, kubectl
from scenarios import SCENARIOS, Length
from weft_webhook.issue import new_pair
from weft_webhook.pair import LIFETIME

SHORT = Length(away=20, rollouts=3, kills=2)


@pytest.fixture(scope="module")
def _traffic(installed: None) -> Iterator[None]:
    """A caller and a server, both meshed, in a namespace of their own."""
    with traffic.running(50):
        yield


@pytest.mark.usefixtures("_traffic")
@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost(name: str) -> None:
    """Each scenario holds; its own words say what was promised."""
    assert SCENARIOS[name](SHORT)


@pytest.mark.usefixtures("_traffic")
def test_an_expired_webhook_certificate_is_repaired() -> None:
    """Put into the Secret, it is replaced, published and served within a minute, by the same process."""
    was = traffic.pods("injector")
    data = new_pair("injector", ["injector.weft.svc"], datetime.now(UTC) - LIFETIME - timedelta(days=1)).data()
    patch = {"stringData": {name: value.decode() for name, value in data.items()}}
    kubectl("-n", "weft", "patch", "secret", "weft-injector-tls", "-p", json.dumps(patch))

    def injected() -> bool:
        serving = get("secret", "weft-injector-tls", "-n", "weft")["data"]["tls.crt"]
        trusted = get("mutatingwebhookconfiguration", "weft-injector")["webhooks"][0]["clientConfig"]["caBundle"]
        assert serving not in json.dumps(patch)
        traffic.gone("repaired")
        kubectl("-n", traffic.NAMESPACE, "wait", "pod/repaired", "--for=delete", "--timeout=60s")
        traffic.fresh_pod("repaired")
        found = get("pod", "repaired", "-n", traffic.NAMESPACE)
        return bool(trusted) and "weft-proxy" in json.dumps(found["spec"].get("initContainers", []))

    eventually(injected, 90, 2)
    traffic.gone("repaired")
    assert traffic.pods("injector") == was
