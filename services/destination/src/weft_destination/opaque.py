"""Requests to Services that are not seen, for want of a ClusterIP or because a port is opaque: by the Service's own
word, or by an annotation of pods behind it. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from weft_destination.model import Key, Pod, Protocol, Service, ServicePort, Slice

Unseen: TypeAlias = Callable[[Key, ServicePort], str]
"""Why requests to a port of a Service are not seen, by its pods' word; empty when they are."""


def unseen(service: Service, by_pods: Unseen = lambda *_: "") -> str:
    """Why no requests to a Service are seen, so that nothing can be said of them; empty when some are."""
    if why := no_address(service):
        return why
    reasons = [no_requests(service, [port]) or by_pods(service.key, port) for port in service.ports]
    if not reasons:
        return f"Service {'/'.join(service.key)} has no TCP port"
    return "; ".join(reasons) if all(reasons) else ""


def no_address(service: Service) -> str:
    """Why clients cannot dial the Service itself; empty when they can."""
    if service.cluster_ips and not service.external:
        return ""
    sort = "of type ExternalName" if service.external else "headless"
    return f"Service {'/'.join(service.key)} is {sort}: there is no ClusterIP to take requests from"


def no_requests(service: Service, ports: Iterable[ServicePort]) -> str:
    """That all of these ports are opaque; empty when one is not."""
    some = list(ports)
    if any(port.protocol != Protocol.OPAQUE for port in some):
        return ""
    numbers = ", ".join(str(port.port) for port in some)
    return f"port {numbers} of Service {'/'.join(service.key)} is opaque: no requests are seen there"


class OpaquePods:
    """What pods say about the Services that they serve. `slices_of`: by Service and name of its port, with the number
    there."""

    def __init__(self, pods: Mapping[Key, Pod], slices_of: Callable[[Key, str], Iterator[tuple[Slice, int]]]) -> None:
        self._pods = pods
        self._slices_of = slices_of

    def behind(self, service: Key, port: ServicePort) -> Pod | None:
        """A pod that makes the port opaque; none counts where the Service itself says how the port speaks."""
        if port.protocol != Protocol.DETECT:
            return None
        for slice_, number in self._slices_of(service, port.name):
            for endpoint in slice_.endpoints:
                pod = self._pods.get((slice_.key[0], endpoint.pod))
                if pod and pod.opaque and number in pod.opaque:
                    return pod
        return None

    def any(self, pods: Iterable[Key]) -> bool:
        """Does any of these say something?"""
        return any((pod := self._pods.get(key)) and pod.opaque for key in pods)

    def why(self, service: Key, port: ServicePort) -> str:
        """In words; empty when requests are seen."""
        if not (pod := self.behind(service, port)):
            return ""
        whose = f"{pod.workload_kind}/{pod.workload}" if pod.workload else f"pod/{pod.key[1]}"
        return f"port {port.port} is opaque by an annotation of {whose}'s pods: no requests are seen there"
