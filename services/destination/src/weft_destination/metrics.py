"""Every metric of destination's own; those of its watches are in weft_kube.metrics."""

from collections.abc import Iterable, Mapping, Sized
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from weft_kube.metrics import WatchCollector
from weft_kube.watch import WatchState

PREFIX = "weft_destination"


class Sent(Collector):
    """What was sent to proxies, as plain numbers: for each update a Counter takes two locks and a microsecond."""

    def __init__(self) -> None:
        self.updates = 0
        self.bytes = 0

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Families for the registry."""
        yield CounterMetricFamily(f"{PREFIX}_updates", "Updates sent to proxies.", self.updates)
        yield CounterMetricFamily(f"{PREFIX}_update_bytes", "Bytes of these updates.", self.bytes)


class Metrics:
    """Metrics in a registry of their own."""

    def __init__(self, watches: Mapping[str, WatchState]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(WatchCollector(PREFIX, watches))
        self.streams = Gauge(f"{PREFIX}_streams", "Proxies connected.", registry=self.registry)
        self.targets = Gauge(f"{PREFIX}_targets", "Different targets that proxies watch.", registry=self.registry)
        self.sent = Sent()
        self.registry.register(self.sent)
        self.leader = Gauge(f"{PREFIX}_leader", "1 while this replica writes statuses.", registry=self.registry)
        self.faulty = Gauge(
            f"{PREFIX}_faulty_objects",
            "Objects that say nonsense, or what has no effect, in annotations or fields.",
            ["kind"],
            registry=self.registry,
        )
        self.refusals = Counter(
            f"{PREFIX}_refusals_total", "Streams ended for what the proxy sent.", ["code"], registry=self.registry
        )

    def count_faulty(self, faulty: Mapping[str, Sized]) -> None:
        """From now on as many of each kind as there are then."""
        for kind, keys in faulty.items():
            self.faulty.labels(kind).set_function(partial(len, keys))
