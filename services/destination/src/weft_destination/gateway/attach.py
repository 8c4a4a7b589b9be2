"""Which ports of which Services a route is attached to, and what stands against it."""

from collections.abc import Mapping
from dataclasses import dataclass

from weft_destination.gateway.model import Parent, Service

Key = tuple[str, str]
Services = Mapping[Key, Service]


@dataclass(frozen=True, slots=True)
class Attachment:
    """Ports that a parentRef stands for; none, and the reason and message of `Accepted: False`."""

    ports: tuple[int, ...] = ()
    reason: str = "Accepted"
    message: str = ""


def attach(parent: Parent, services: Services) -> Attachment:
    """A Service that clients dial by its ClusterIP, narrowed by port number and port name."""
    full = f"Service {parent.namespace}/{parent.name}"
    service = services.get((parent.namespace, parent.name))
    if service is None:
        return Attachment((), "NoMatchingParent", f"{full} does not exist")
    if service.external or service.headless:
        sort = "of type ExternalName" if service.external else "headless"
        return Attachment((), "UnsupportedValue", f"{full} is {sort}: there is no ClusterIP to take requests from")
    ports = tuple(
        number
        for number, name in sorted(service.ports.items())
        if parent.port in (0, number) and parent.section in ("", name)
    )
    if not ports:
        wanted = ", ".join(filter(None, (parent.section, str(parent.port or ""))))
        return Attachment((), "NoMatchingParent", f"{full} has no port {wanted or 'at all'}")
    return Attachment(ports)
