"""The injector's metrics, each name once."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Declared in a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reviews = Counter(
            "weft_injector_reviews_total",
            "Pods reviewed; outcome is injected, skipped, refused or failed, reason says why one was skipped.",
            ["outcome", "reason"],
            registry=registry,
        )
        self.malformed = Counter(
            "weft_injector_malformed_total",
            "Requests that were no HTTP or no AdmissionReview, or too large.",
            registry=registry,
        )
        self.review_duration = Histogram(
            "weft_injector_review_duration_seconds",
            "Time to review a pod.",
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0, 5.0),
            registry=registry,
        )
        self.events = Counter(
            "weft_injector_events_total",
            "Kubernetes Events about reviewed pods; outcome is written, failed or dropped (too many at once).",
            ["outcome"],
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            "weft_injector_certificate_expiry_timestamp_seconds",
            "When the serving certificate ends.",
            registry=registry,
        )
