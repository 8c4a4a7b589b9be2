"""Web's settings."""

from dataclasses import dataclass
from pathlib import Path

from weft_runtime import logs
from weft_runtime.config import Address, ConfigError, address, env

from weft_web import credentials
from weft_web.guard import loopback


def boolean(text: str) -> bool:
    """Parses "true" and "false"."""
    if text not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text == "true"


def hosts(text: str) -> frozenset[str]:
    """Parses names separated by commas."""
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


def optional(text: str) -> Address | None:
    """Parses an address, or nothing."""
    return address(text) if text else None


def folder(text: str) -> Path | None:
    """Parses a path, or nothing."""
    return Path(text) if text else None


@dataclass(frozen=True, slots=True)
class Config:
    """From the environment; the chart sets it."""

    log_level: int = env("WEFT_LOG_LEVEL", logs.level, default="info", doc="debug, info, warning or error")
    listen: Address = env("WEFT_LISTEN", address, default="127.0.0.1:8084", doc="public API and dashboard, on loopback")
    exposed_listen: Address | None = env(
        "WEFT_EXPOSED_LISTEN", optional, default="", doc="the same for callers with a Kubernetes token; empty: nowhere"
    )
    admin_listen: Address = env("WEFT_ADMIN_LISTEN", address, default="0.0.0.0:9990", doc="probes and metrics")
    namespace: str = env("WEFT_NAMESPACE", default="weft", doc="the control plane's namespace")
    trust_domain: str = env("WEFT_TRUST_DOMAIN", default="cluster.local", doc="of every identity")
    prometheus_url: str = env("WEFT_PROMETHEUS_URL", default="http://prometheus.weft.svc:9090", doc="where metrics are")
    prometheus_credentials: Path | None = env(
        "WEFT_PROMETHEUS_CREDENTIALS", folder, default="", doc="a Secret's keys, for Prometheus; empty: it wants none"
    )
    grafana_url: str = env("WEFT_GRAFANA_URL", default="", doc="Grafana as the browser reaches it; empty: none")
    static: Path = env("WEFT_STATIC", Path, default="/app/static", doc="folder of the built dashboard")
    dashboard_tap: bool = env("WEFT_DASHBOARD_TAP", boolean, default="true", doc="may the dashboard tap?")
    allowed_hosts: frozenset[str] = env(
        "WEFT_ALLOWED_HOSTS", hosts, default="", doc="names of this server besides localhost"
    )
    kube_host: str = env("KUBERNETES_SERVICE_HOST", doc="set by Kubernetes in every pod")
    kube_port: str = env("KUBERNETES_SERVICE_PORT", default="443", doc="set by Kubernetes in every pod")

    def __post_init__(self) -> None:
        """Others than this pod never get in without a token; Prometheus can be shown what there is for it."""
        if not loopback(self.listen.host):
            raise ConfigError(f"WEFT_LISTEN={str(self.listen)!r} is not on the loopback: set WEFT_EXPOSED_LISTEN")
        if "@" in self.prometheus_url.partition("://")[2].partition("/")[0]:
            raise ConfigError(
                "WEFT_PROMETHEUS_URL has a user in it, whom logs would tell: viz.web.prometheusSecret is for that"
            )
        try:
            credentials.read(self.prometheus_credentials).trust(self.prometheus_url)
        except (OSError, ValueError) as error:
            raise ConfigError(f"WEFT_PROMETHEUS_CREDENTIALS={str(self.prometheus_credentials)!r}: {error}") from None
