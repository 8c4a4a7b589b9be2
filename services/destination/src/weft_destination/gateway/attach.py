"""Which ports of a Service a route is attached to, and what stands against it."""

from dataclasses import dataclass

from weft_destination.gateway.model import Parent
from weft_destination.model import Protocol, Service
from weft_destination.opaque import no_address, no_requests


@dataclass(frozen=True, slots=True)
class Attachment:
    """Ports that a parentRef stands for; none, and the reason and message of `Accepted: False`."""

    ports: tuple[int, ...] = ()
    reason: str = "Accepted"
    message: str = ""


def attach(parent: Parent, service: Service | None) -> Attachment:
    """A Service that clients dial by its ClusterIP, narrowed by port number and port name."""
    if (parent.group, parent.kind) != ("", "Service"):
        return Attachment((), "NoMatchingParent", _no_kind(parent))
    full = f"Service {parent.namespace}/{parent.name}"
    if service is None:
        return Attachment((), "NoMatchingParent", f"{full} does not exist")
    if why := no_address(service):
        return Attachment((), "UnsupportedValue", why)
    named = [port for port in service.ports if parent.port in (0, port.port) and parent.section in ("", port.name)]
    if not named:
        wanted = ", ".join(filter(None, (parent.section, str(parent.port or ""))))
        return Attachment((), "NoMatchingParent", f"{full} has no TCP port {wanted or 'at all'}")
    if why := no_requests(service, named):
        return Attachment((), "UnsupportedValue", why)
    return Attachment(tuple(sorted(port.port for port in named if port.protocol != Protocol.OPAQUE)))


def _no_kind(parent: Parent) -> str:
    where = f"group {parent.group}" if parent.group else "the core group"
    return f'there is no kind {parent.kind} in {where}: a Service is written group: "", kind: Service'
