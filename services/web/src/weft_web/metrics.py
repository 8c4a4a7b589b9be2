"""Web's own metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info


class Metrics:
    """Each name once, in a registry of its own."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        Info("weft_web", "Version of web.", registry=self.registry).info({"version": version})
        self._requests = Counter("weft_web_requests", "Requests answered.", ["path", "status"], registry=self.registry)
        self.streams = Gauge("weft_web_streams", "Open event streams.", registry=self.registry)
        self._queries = Histogram(
            "weft_web_prometheus_query_seconds", "Time Prometheus took to answer.", registry=self.registry
        )
        self._failures = Counter(
            "weft_web_prometheus_failures", "Queries that Prometheus did not answer.", registry=self.registry
        )

    def request(self, route: str, status: int) -> None:
        """Counts one request by its route, never by its path."""
        self._requests.labels(route, str(status)).inc()

    def query(self, seconds: float, answered: bool) -> None:
        """One query of Prometheus has ended."""
        self._queries.observe(seconds)
        if not answered:
            self._failures.inc()
