"""Settings of destination, each an environment variable."""

import socket
from dataclasses import dataclass

from weft_runtime.config import Address, address, env
from weft_runtime.logs import level

from weft_destination.policy.state import CHOICES


def flag(text: str) -> bool:
    """Parses "true" and "false"."""
    if text not in ("true", "false"):
        raise ValueError("is neither true nor false")
    return text == "true"


def access(text: str) -> str:
    """Parses who may call."""
    if text not in CHOICES:
        raise ValueError(f"is none of {', '.join(CHOICES)}")
    return text


@dataclass(frozen=True, slots=True)
class Config:
    """The table of settings."""

    log_level: int = env("WEFT_LOG_LEVEL", level, default="info", doc="debug, info, warning or error")
    listen: Address = env("WEFT_LISTEN", address, default="127.0.0.1:8087", doc="discovery/v1, for the pod's proxy")
    admin_listen: Address = env("WEFT_ADMIN_LISTEN", address, default="0.0.0.0:9990", doc="/live /ready /metrics")
    trust_domain: str = env("WEFT_TRUST_DOMAIN", default="cluster.local", doc="domain of all SPIFFE IDs")
    allow_anonymous: bool = env(
        "WEFT_ALLOW_ANONYMOUS", flag, default="false", doc="believe callers without identity: for tests only"
    )
    default_access: str = env("WEFT_DEFAULT_ACCESS", access, default="anyone", doc="who may call where nobody says so")
    namespace: str = env("WEFT_NAMESPACE", default="weft", doc="the control plane's namespace")
    holder: str = env("HOSTNAME", default=socket.gethostname(), doc="this replica's name in the Lease")
    kube_host: str = env("KUBERNETES_SERVICE_HOST", doc="set by Kubernetes in every pod")
    kube_port: str = env("KUBERNETES_SERVICE_PORT", default="443", doc="set by Kubernetes in every pod")
