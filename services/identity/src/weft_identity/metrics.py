"""Identity's metrics, each name once."""

from cryptography import x509
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from weft_identity.issuer import Trust
from weft_identity.rotation import Phase


class Metrics:
    """Declared in a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.issued = Counter(
            "weft_identity_certificates_issued_total", "Workload certificates signed.", registry=registry
        )
        self.lifetime = Gauge(
            "weft_identity_issuance_lifetime_seconds", "How long a workload certificate is valid.", registry=registry
        )
        self.refused = Counter(
            "weft_identity_refused_total",
            "Requests without a certificate; reason is message, token, csr, unavailable (Kubernetes), issuer, bundle "
            "or limit.",
            ["reason"],
            registry=registry,
        )
        self.bundles = Counter(
            "weft_identity_client_bundles_total",
            "Trust bundle that a requesting proxy rests on: current, old or none.",
            ["bundle"],
            registry=registry,
        )
        self.review_duration = Histogram(
            "weft_identity_token_review_seconds",
            "Time that Kubernetes took for a TokenReview.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
            registry=registry,
        )
        self.issuer_expiry = Gauge(
            "weft_identity_issuer_expiry_timestamp_seconds", "When the issuer in use ends.", registry=registry
        )
        self.anchor_expiry = Gauge(
            "weft_identity_anchor_expiry_timestamp_seconds",
            "When the first of the trust anchors in use ends.",
            registry=registry,
        )
        self.issuer_lifetime = Gauge(
            "weft_identity_issuer_lifetime_seconds", "How long the issuer in use lives in all.", registry=registry
        )
        self.anchor_lifetime = Gauge(
            "weft_identity_anchor_lifetime_seconds",
            "How long the trust anchor that ends first lives in all.",
            registry=registry,
        )
        self.issuer_refused = Counter(
            "weft_identity_issuer_refused_total",
            "Secrets that were unsound, so that the old issuer, if there is one, was kept.",
            registry=registry,
        )
        self.issuer_unsound = Gauge(
            "weft_identity_issuer_unsound",
            "1 while the Secrets hold what was refused.",
            registry=registry,
        )
        self._rotation = Gauge(
            "weft_identity_rotation_phase",
            "1 for the phase that a rotation of the trust anchor is in, as the Lease's holder sees it.",
            ["phase"],
            registry=registry,
        )
        self.rotation_waiting = Gauge(
            "weft_identity_rotation_pods_waiting",
            "Pods whose proxies the phase waits for.",
            registry=registry,
        )
        self.rotation_blocked = Gauge(
            "weft_identity_rotation_blocked",
            "1 while the trust anchor should be rotated, and more pods have a proxy than a rotation can wait for.",
            registry=registry,
        )
        self.namespaces_lacking = Gauge(
            "weft_identity_namespaces_without_bundle",
            "Namespaces that lack the trust bundle, as the Lease's holder sees it.",
            registry=registry,
        )
        self.leader = Gauge("weft_identity_leader", "1 while this replica holds the Lease.", registry=registry)

    def in_use(self, trust: Trust) -> None:
        """Tells until when the trust holds, and of how long."""
        _tell(trust.authority.certificate, self.issuer_expiry, self.issuer_lifetime)
        _tell(trust.first_to_end, self.anchor_expiry, self.anchor_lifetime)

    def rotation_phase(self, phase: Phase) -> None:
        """Tells the phase."""
        for each in Phase:
            self._rotation.labels(each).set(each is phase)


def _tell(certificate: x509.Certificate, expiry: Gauge, lifetime: Gauge) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    expiry.set(end.timestamp())
    lifetime.set((end - start).total_seconds())
