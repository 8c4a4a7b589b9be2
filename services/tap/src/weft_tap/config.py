"""Tap's settings."""

from dataclasses import dataclass

from weft_runtime import logs
from weft_runtime.config import Address, address, env


@dataclass(frozen=True, slots=True)
class Config:
    """From the environment; the chart sets it."""

    log_level: int = env("WEFT_LOG_LEVEL", logs.level, default="info", doc="debug, info, warning or error")
    listen: Address = env("WEFT_LISTEN", address, default="0.0.0.0:8089", doc="the aggregated API")
    admin_listen: Address = env("WEFT_ADMIN_LISTEN", address, default="0.0.0.0:9990", doc="probes and metrics")
    namespace: str = env("WEFT_NAMESPACE", default="weft", doc="the control plane's namespace")
    proxy: Address = env("WEFT_PROXY_CONNECT", address, default="127.0.0.1:4142", doc="own proxy's CONNECT listener")
    kube_host: str = env("KUBERNETES_SERVICE_HOST", doc="set by Kubernetes in every pod")
    kube_port: str = env("KUBERNETES_SERVICE_PORT", default="443", doc="set by Kubernetes in every pod")
