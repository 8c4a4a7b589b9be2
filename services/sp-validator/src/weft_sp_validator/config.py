"""sp-validator's settings, set by the chart."""

from dataclasses import dataclass

from weft_runtime import logs
from weft_runtime.config import Address, address, env


@dataclass(frozen=True, slots=True)
class Config:
    """A field for each variable of the environment."""

    listen: Address = env("WEFT_LISTEN", address, default="0.0.0.0:8443", doc="where the API server sends reviews")
    admin_listen: Address = env("WEFT_ADMIN_LISTEN", address, default="0.0.0.0:9990", doc="/live /ready /metrics")
    namespace: str = env("WEFT_NAMESPACE", default="weft", doc="the control plane's namespace")
    log_level: int = env("WEFT_LOG_LEVEL", logs.level, default="info", doc="debug, info, warning, error")
    kubernetes_host: str = env("KUBERNETES_SERVICE_HOST", doc="set by Kubernetes in every pod")
    kubernetes_port: str = env("KUBERNETES_SERVICE_PORT", default="443", doc="set by Kubernetes in every pod")
