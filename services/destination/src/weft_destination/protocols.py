"""What a port's declaration says about the protocol it speaks.

`http` declares HTTP without a version, so that the proxy still has to look: it counts as DETECT, as does every
name that is not known here.
"""

from weft_destination.model import Ports, Protocol

DEFAULT_OPAQUE = Ports(tuple(range(port, port + 1) for port in (25, 587, 3306, 4444, 5432, 6379, 9300, 11211)))
"""SMTP, MySQL, Galera, PostgreSQL, Redis, Elasticsearch, memcached: servers that speak first, or no HTTP at all."""

_APP_PROTOCOLS = {
    "grpc": Protocol.GRPC,
    "http2": Protocol.HTTP2,
    "h2c": Protocol.HTTP2,
    "kubernetes.io/h2c": Protocol.HTTP2,
    "http": Protocol.DETECT,
    "kubernetes.io/ws": Protocol.DETECT,
    # The application's own TLS is carried as it is.
    "https": Protocol.OPAQUE,
    "tls": Protocol.OPAQUE,
    "kubernetes.io/wss": Protocol.OPAQUE,
    "tcp": Protocol.OPAQUE,
    "redis": Protocol.OPAQUE,
    "mysql": Protocol.OPAQUE,
    "mongo": Protocol.OPAQUE,
    "mongodb": Protocol.OPAQUE,
    "postgres": Protocol.OPAQUE,
    "postgresql": Protocol.OPAQUE,
    "amqp": Protocol.OPAQUE,
    "kafka": Protocol.OPAQUE,
    "memcached": Protocol.OPAQUE,
    "smtp": Protocol.OPAQUE,
}


def by_declaration(app_protocol: str, name: str) -> Protocol | None:
    """What appProtocol or else the name ("grpc", "grpc-admin") says; None when they say nothing."""
    if hint := _APP_PROTOCOLS.get(app_protocol.lower()):
        return hint
    first, _, rest = name.partition("-")
    return Protocol.DETECT if first == "grpc" and rest.startswith("web") else _APP_PROTOCOLS.get(first)


def by_number(*numbers: int) -> Protocol:
    """What is usual for a port where nobody says anything."""
    return Protocol.OPAQUE if any(number in DEFAULT_OPAQUE for number in numbers) else Protocol.DETECT


def of_service_port(app_protocol: str, name: str, numbers: tuple[int, ...], opaque: Ports | None) -> Protocol:
    """The protocol of a Service's port, known by `numbers`: the opaque-ports annotation says first, and what it does
    not name is not opaque by number."""
    if opaque is not None and any(number in opaque for number in numbers):
        return Protocol.OPAQUE
    hint = by_declaration(app_protocol, name)
    if hint is not None:
        return hint
    return by_number(*numbers) if opaque is None else Protocol.DETECT
