"""Identity's settings, set by the chart."""

import socket
from dataclasses import dataclass
from datetime import timedelta

from weft_runtime import logs
from weft_runtime.config import Address, address, duration, env

from weft_identity.issuer import Terms

MIN_LIFETIME = timedelta(minutes=5)
MIN_AUTHORITY_LIFETIME = timedelta(days=7)


def lifetime(text: str) -> timedelta:
    """Parses a certificate's lifetime: long enough to be renewed before it ends."""
    value = duration(text)
    if value < MIN_LIFETIME:
        raise ValueError("is shorter than 5m")
    return value


def authority_lifetime(text: str) -> timedelta:
    """Parses the lifetime of anchor or issuer: long enough for leaves of a day to move in its last third."""
    value = duration(text)
    if value < MIN_AUTHORITY_LIFETIME:
        raise ValueError("is shorter than 168h")
    return value


@dataclass(frozen=True, slots=True)
class Config:
    """A field for each variable of the environment."""

    listen: Address = env("WEFT_LISTEN", address, default="127.0.0.1:8081", doc="gRPC, behind this pod's own proxy")
    admin_listen: Address = env("WEFT_ADMIN_LISTEN", address, default="0.0.0.0:9990", doc="/live /ready /metrics")
    namespace: str = env("WEFT_NAMESPACE", default="weft", doc="the control plane's namespace")
    trust_domain: str = env("WEFT_TRUST_DOMAIN", default="cluster.local", doc="of every identity")
    issuance_lifetime: timedelta = env("WEFT_ISSUANCE_LIFETIME", lifetime, default="24h", doc="of a workload's leaf")
    anchor_lifetime: timedelta = env("WEFT_ANCHOR_LIFETIME", authority_lifetime, default="8760h", doc="of an anchor")
    issuer_lifetime: timedelta = env("WEFT_ISSUER_LIFETIME", authority_lifetime, default="720h", doc="of an issuer")
    holder: str = env("HOSTNAME", default=socket.gethostname(), doc="this replica's name in the Lease")
    log_level: int = env("WEFT_LOG_LEVEL", logs.level, default="info", doc="debug, info, warning, error")
    kubernetes_host: str = env("KUBERNETES_SERVICE_HOST", doc="set by Kubernetes in every pod")
    kubernetes_port: str = env("KUBERNETES_SERVICE_PORT", default="443", doc="set by Kubernetes in every pod")

    @property
    def terms(self) -> Terms:
        """What is issued."""
        return Terms(self.trust_domain, self.anchor_lifetime, self.issuer_lifetime, self.issuance_lifetime)
