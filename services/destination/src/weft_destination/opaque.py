"""Ports of Services that the annotations of pods behind them make opaque: their requests are not seen. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from weft_destination.model import Key, Pod, Protocol, ServicePort, Slice


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
