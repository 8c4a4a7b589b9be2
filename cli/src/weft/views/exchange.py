"""One request and its response, as tap reports it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from weft.views.metrics import account

GRPC = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the views need of a tap event."""

    started: float
    inbound: bool
    source: str
    destination: str
    method: str
    authority: str
    path: str
    status: int
    grpc_status: int
    result: str
    latency: float
    tls: str
    identity: str
    route: str
    version: str
    response_bytes: int
    error: str
    audited: str
    """What would have denied it, were policies in audit enforced."""
    skipped: int
    """Matching exchanges left out before this one, because there were too many a second."""

    @classmethod
    def parse(cls, event: dict[str, Any]) -> "Exchange":
        """From one line of the tap API; fields that are absent have their type's zero, as in protobuf."""
        inbound = _enum(event.get("direction")) == "inbound"
        identity = event.get("peer_identity", "")
        return cls(
            started=int(event.get("started_us", 0)) / 1e6,
            inbound=inbound,
            source=_peer(identity, event.get("source", "")) if inbound else _pod(event),
            destination=_pod(event) if inbound else _target(event),
            method=event.get("method", ""),
            authority=event.get("authority", ""),
            path=event.get("path", ""),
            status=int(event.get("status", 0)),
            grpc_status=int(event.get("grpc_status", -1)),
            result=_enum(event.get("result")),
            latency=int(event.get("latency_us", 0)) / 1e6,
            tls=event.get("tls", ""),
            identity=identity,
            route=event.get("route", ""),
            version=event.get("version", ""),
            response_bytes=int(event.get("response_bytes", 0)),
            error=event.get("error", ""),
            audited=event.get("audited", ""),
            skipped=int(event.get("skipped", 0)),
        )


def line(exchange: Exchange, wide: bool = False) -> str:
    """One line: when, who, what, how it ended."""
    when = datetime.fromtimestamp(exchange.started).astimezone().strftime("%H:%M:%S.%f")[:-3]
    parts = [
        when,
        "in " if exchange.inbound else "out",
        f"{exchange.source} → {exchange.destination}",
        f"{exchange.method} {exchange.path}",
        _ending(exchange),
        _duration(exchange.latency),
        "🔒" if exchange.tls == "true" else f"plain ({exchange.tls or 'unknown'})",
        exchange.error,
        f"audit: would be denied by {exchange.audited}" if exchange.audited else "",
    ]
    if wide:
        parts += [
            f"authority={exchange.authority}",
            f"peer={exchange.identity or '-'}",
            f"route={exchange.route or '-'}",
            f"version={exchange.version}",
            f"bytes={exchange.response_bytes}",
        ]
    return "  ".join(part for part in parts if part)


def _ending(exchange: Exchange) -> str:
    status = str(exchange.status or "-")
    if exchange.grpc_status >= 0:
        known = exchange.grpc_status < len(GRPC)
        return f"{status} grpc={GRPC[exchange.grpc_status] if known else exchange.grpc_status}"
    return f"{status} {exchange.result}" if exchange.result in ("cancelled", "denied") else status


def _duration(seconds: float) -> str:
    return f"{1e6 * seconds:.0f}µs" if seconds < 0.001 else f"{1e3 * seconds:.1f}ms"


def _enum(value: object) -> str:
    return str(value or "").lower().removeprefix("direction_").removeprefix("result_")


def _peer(identity: str, address: str) -> str:
    """The service account of a meshed peer, else its address."""
    return account(identity) or address.rpartition(":")[0] or address


def _pod(event: dict[str, Any]) -> str:
    return str(event.get("pod") or event.get("dst_pod") or event.get("destination", ""))


def _target(event: dict[str, Any]) -> str:
    for key in ("dst_workload", "dst_service"):
        if event.get(key):
            return f"{event[key]}.{event.get('dst_namespace', '')}".rstrip(".")
    return str(event.get("authority") or event.get("destination", ""))
