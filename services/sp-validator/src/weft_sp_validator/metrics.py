"""sp-validator's metrics, each name once."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Declared in a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reviews = Counter(
            "weft_sp_validator_reviews_total",
            "Objects reviewed; outcome is allowed or refused.",
            ["outcome"],
            registry=registry,
        )
        self.malformed = Counter(
            "weft_sp_validator_malformed_total",
            "Requests that were no HTTP or no AdmissionReview, or too large.",
            registry=registry,
        )
        self.review_duration = Histogram(
            "weft_sp_validator_review_duration_seconds",
            "Time to review an object.",
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0),
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            "weft_sp_validator_certificate_expiry_timestamp_seconds",
            "When the serving certificate ends.",
            registry=registry,
        )
