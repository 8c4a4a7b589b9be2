"""tcpSocket probes of a pod with the proxy: they ask the proxy whether the application takes connections.

The proxy accepts every connection that is redirected to it, so the kubelet's own dial would succeed whatever the
application does. HTTP and gRPC probes go through the proxy to the application, exec probes do not touch the network.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from weft_kube.names import PORT_ADMIN, parse_ports

from weft_sidecar.options import Setting

PATH = "/probe/tcp/"
KINDS = ("startupProbe", "livenessProbe", "readinessProbe")


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """A probe: where it stands in the pod, as a JSON pointer, and the port it is for."""

    pointer: str
    port: int

    def patch(self) -> list[dict[str, Any]]:
        """Operations that send it to the proxy. Periods and thresholds stay."""
        action = {"path": f"{PATH}{self.port}", "port": PORT_ADMIN}
        return [
            {"op": "remove", "path": f"{self.pointer}/tcpSocket"},
            {"op": "add", "path": f"{self.pointer}/httpGet", "value": action},
        ]


def tcp_probes(spec: Mapping[str, Any], found: Mapping[str, Setting]) -> list[TcpProbe]:
    """The pod's tcpSocket probes that would end at the proxy: not those of another host, or of a skipped port."""
    skipped = parse_ports(found["skip-inbound-ports"].value) if "skip-inbound-ports" in found else []
    return [probe for probe in _probes(spec) if not any(probe.port in ports for ports in skipped)]


def ports(probes: Iterable[TcpProbe]) -> str:
    """Their ports, each once: "6379,8080"."""
    return ",".join(str(port) for port in sorted({probe.port for probe in probes}))


def _probes(spec: Mapping[str, Any]) -> Iterable[TcpProbe]:
    for group in ("initContainers", "containers"):
        for position, container in enumerate(spec.get(group) or []):
            for kind in KINDS:
                action = (container.get(kind) or {}).get("tcpSocket")
                if not action or action.get("host"):
                    continue
                if port := _number(container, action.get("port")):
                    yield TcpProbe(f"/spec/{group}/{position}/{kind}", port)


def _number(container: Mapping[str, Any], port: Any) -> int | None:
    """A probe's port, which may be the name of one of its container's."""
    if isinstance(port, int):
        return port
    named = (one.get("containerPort") for one in container.get("ports") or [] if one.get("name") == port)
    return next(named, None)
