"""Which ports of a Service a route is attached to, and what stands against it."""

from dataclasses import dataclass

from weft_destination.gateway.model import Parent
from weft_destination.model import Protocol, Service


@dataclass(frozen=True, slots=True)
class Attachment:
    """Ports that a parentRef stands for; none, and the reason and message of `Accepted: False`."""

    ports: tuple[int, ...] = ()
    reason: str = "Accepted"
    message: str = ""


def attach(parent: Parent, service: Service | None) -> Attachment:
    """A Service that clients dial by its ClusterIP, narrowed by port number and port name."""
    full = f"Service {parent.namespace}/{parent.name}"
    if service is None:
        return Attachment((), "NoMatchingParent", f"{full} does not exist")
    if service.external or not service.cluster_ips:
        sort = "of type ExternalName" if service.external else "headless"
        return Attachment((), "UnsupportedValue", f"{full} is {sort}: there is no ClusterIP to take requests from")
    named = [port for port in service.ports if parent.port in (0, port.port) and parent.section in ("", port.name)]
    if not named:
        wanted = ", ".join(filter(None, (parent.section, str(parent.port or ""))))
        return Attachment((), "NoMatchingParent", f"{full} has no TCP port {wanted or 'at all'}")
    ports = tuple(sorted(port.port for port in named if port.protocol != Protocol.OPAQUE))
    if not ports:
        numbers = ", ".join(str(port.port) for port in named)
        return Attachment((), "UnsupportedValue", f"port {numbers} of {full} is opaque: no requests are seen there")
    return Attachment(ports)
