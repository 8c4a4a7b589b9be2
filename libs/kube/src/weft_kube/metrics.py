"""How true an index is, as metrics: age of the last sign of life, relists, objects of each watched kind."""

import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from weft_kube.watch import WatchState

Read = Callable[[WatchState], float]

_COUNTERS: dict[str, tuple[str, Read]] = {
    "events": ("Changes received from watches.", lambda s: s.events),
    "relists": ("Complete lists, the first included.", lambda s: s.relists),
    "failures": ("Lists and watches that failed and were tried again.", lambda s: s.failures),
    "silences": ("Watches given up because they said nothing for too long.", lambda s: s.silences),
    "malformed": (
        "Objects left out because a field had an impossible type, or nested too deep.",
        lambda s: s.malformed,
    ),
}

_GAUGES: dict[str, tuple[str, Read]] = {
    "objects": ("Objects there are, malformed ones among them.", lambda s: s.objects),
    "synced": ("1 after the first complete list.", lambda s: s.synced.is_set()),
    "last_event_age_seconds": (
        "Since the last event, bookmark or list.",
        # The event loop's clock is the monotonic one; a scrape is rendered on a thread without a loop.
        lambda s: time.monotonic() - s.last_event if s.last_event else 0.0,
    ),
}


class WatchCollector(Collector):
    """Metrics `<prefix>_watch_*{kind}` read from reflectors' states when scraped. Register it once a process."""

    def __init__(self, prefix: str, states: Mapping[str, WatchState]) -> None:
        self._prefix = prefix
        self._states = states

    def collect(self) -> Iterable[Metric]:
        """Families for the registry."""
        for name, (help_text, read) in _COUNTERS.items():
            counter = CounterMetricFamily(f"{self._prefix}_watch_{name}", help_text, labels=["kind"])
            yield self._fill(counter, read)
        for name, (help_text, read) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"{self._prefix}_watch_{name}", help_text, labels=["kind"])
            yield self._fill(gauge, read)

    def _fill(self, family: CounterMetricFamily | GaugeMetricFamily, read: Read) -> Metric:
        for kind, state in self._states.items():
            family.add_metric([kind], float(read(state)))
        return family
