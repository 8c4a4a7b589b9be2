"""Every metric of destination's own; those of its watches are in weft_kube.metrics."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge
from weft_kube.metrics import WatchCollector
from weft_kube.watch import WatchState

PREFIX = "weft_destination"


class Metrics:
    """Metrics in a registry of their own."""

    def __init__(self, watches: Mapping[str, WatchState]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(WatchCollector(PREFIX, watches))
        self.streams = Gauge(f"{PREFIX}_streams", "Proxies connected.", registry=self.registry)
        self.targets = Gauge(f"{PREFIX}_targets", "Different targets that proxies watch.", registry=self.registry)
        self.updates = Counter(f"{PREFIX}_updates_total", "Updates sent to proxies.", registry=self.registry)
        self.update_bytes = Counter(f"{PREFIX}_update_bytes_total", "Bytes of these updates.", registry=self.registry)
        self.leader = Gauge(f"{PREFIX}_leader", "1 while this replica writes statuses.", registry=self.registry)
        self.refusals = Counter(
            f"{PREFIX}_refusals_total", "Streams ended for what the proxy sent.", ["code"], registry=self.registry
        )
