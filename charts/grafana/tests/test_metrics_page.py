"""docs/metrics.md against the code that declares the metrics."""

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from weft_destination.metrics import Metrics as Destination
from weft_destination.metrics import Sent
from weft_identity.metrics import Metrics as Identity
from weft_injector.metrics import Metrics as Injector
from weft_sp_validator.metrics import Metrics as SpValidator
from weft_tap.metrics import Metrics as Tap
from weft_web.metrics import Metrics as Web

ROOT = Path(__file__).parents[3]
Page = dict[str, tuple[str, list[str]]]
PROXYS = ("weft_identity_expiry_timestamp_seconds",)
SUFFIX = {"counter": "_total", "info": "_info"}


def declared(registry: CollectorRegistry) -> dict[str, tuple[str, list[str]]]:
    """What a service's registry declares, its watches aside."""
    found = {}
    for collector in list(registry._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            kind = collector._type
            labels = ["version"] if kind == "info" else list(collector._labelnames)
            found[collector._name + SUFFIX.get(kind, "")] = ("gauge" if kind == "info" else kind, labels)
        elif isinstance(collector, Sent):
            for family in collector.collect():
                found[family.name + SUFFIX[family.type]] = (family.type, list(family._labelnames))
    return found


def registries() -> dict[str, CollectorRegistry]:
    """Each service's prefix and registry."""
    identity, injector, validator = CollectorRegistry(), CollectorRegistry(), CollectorRegistry()
    Identity(identity)
    Injector(injector)
    SpValidator(validator)
    return {
        "weft_destination_": Destination({}).registry,
        "weft_identity_": identity,
        "weft_injector_": injector,
        "weft_sp_validator_": validator,
        "weft_tap_": Tap("1").registry,
        "weft_web_": Web("1").registry,
    }


@pytest.mark.parametrize("prefix", list(registries()))
def test_the_page_has_each_services_metrics(prefix: str, page: Page) -> None:
    """Name, type and labels, no more and no fewer."""
    own = {name: row for name, row in page.items() if name.startswith(prefix) and name not in PROXYS}
    assert {name: row for name, row in own.items() if "_watch_" not in name} == declared(registries()[prefix])


def test_the_page_says_whose_watches_have_metrics() -> None:
    """Each service that follows Kubernetes, and no other."""
    [named] = re.findall(r"`<service>`: ([a-z, -]+)\)", (ROOT / "docs/metrics.md").read_text())
    sources = {path: path.read_text() for path in ROOT.glob("services/*/src/*/*.py")}
    measured = {path.parents[2].name for path, text in sources.items() if "WatchCollector(" in text}
    following = {path.parents[2].name for path, text in sources.items() if "Reflector(" in text}
    assert set(named.split(", ")) == measured == following


def test_the_page_has_the_proxys_metrics(page: Page) -> None:
    """Every name that the proxy registers."""
    source = "".join(f.read_text() for f in sorted((ROOT / "proxy/weft-proxy/src/metrics").glob("*.rs")))
    names = set(re.findall(r"\.register\(\s*\"(\w+)\"", source))
    assert names
    assert names <= {re.sub(r"_total$|_info$", "", name) for name in page}
