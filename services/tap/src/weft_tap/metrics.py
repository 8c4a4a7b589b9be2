"""Tap's own metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Info


class Metrics:
    """Each name once, in a registry of its own."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        Info("weft_tap", "Version of tap.", registry=self.registry).info({"version": version})
        self.active = Gauge("weft_tap_active", "Taps that go on.", registry=self.registry)
        self.events = Counter("weft_tap_events", "Events sent by taps that have ended.", registry=self.registry)
        self.refused = Counter("weft_tap_refused", "Requests refused, by status.", ["code"], registry=self.registry)
        self.certificate_expiry = Gauge(
            "weft_tap_certificate_expiry_timestamp_seconds", "End of the serving certificate.", registry=self.registry
        )

    def count_refused(self, code: int) -> None:
        """A request was refused with this status."""
        self.refused.labels(str(code)).inc()
