"""Probes of a pod with the proxy that ask the proxy instead of the application.

tcpSocket: the proxy accepts every connection that is redirected to it, so the kubelet's own dial would succeed whatever
the application does. HTTPS: the proxy cannot look into it, and so could not tell it from connections that policies
refuse. HTTP and gRPC probes go through the proxy to the application, exec probes do not touch the network.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft_kube.names import PORT_ADMIN, parse_ports

from weft_sidecar.options import Setting

TCP = "/probe/tcp/"
HTTPS = "/probe/https"
KINDS = ("startupProbe", "livenessProbe", "readinessProbe")

_PLAIN = r"(?:[A-Za-z0-9/._~!&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*"
_PATH = re.compile(rf"/(?!/){_PLAIN}(?:\?{_PLAIN})?")
"""What the kubelet asks for as it is written; others it spells anew, or reads as variables in the proxy's environment,
and the proxy would not know them again."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe: where it stands in the pod, as a JSON pointer, and the port it is for."""

    pointer: str
    port: int
    path: str = ""
    """What an HTTPS probe asks for; empty for tcpSocket."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Its headers."""

    @property
    def replaced(self) -> str:
        """The key of the action that it has now."""
        return "httpGet" if self.path else "tcpSocket"

    @property
    def action(self) -> dict[str, Any]:
        """The httpGet that asks the proxy. Periods and thresholds stay the probe's."""
        path = f"{HTTPS}/{self.port}{self.path}" if self.path else f"{TCP}{self.port}"
        return {"path": path, "port": PORT_ADMIN, **self.more}

    def patch(self) -> list[dict[str, Any]]:
        """Operations that send it to the proxy."""
        return [
            {"op": "remove", "path": f"{self.pointer}/{self.replaced}"},
            {"op": "add", "path": f"{self.pointer}/httpGet", "value": self.action},
        ]


def original(action: Mapping[str, Any]) -> dict[str, Any]:
    """What a probe was before its action asked the proxy, by key; empty when it does not."""
    path = str(action.get("path", "")) if action.get("port") == PORT_ADMIN else ""
    if path.startswith(TCP) and (port := path.removeprefix(TCP)).isdigit():
        return {"tcpSocket": {"port": int(port)}}
    if path.startswith(f"{HTTPS}/"):
        port, slash, rest = path.removeprefix(f"{HTTPS}/").partition("/")
        return {"httpGet": {**action, "path": slash + rest, "port": int(port), "scheme": "HTTPS"}}
    return {}


def asking_the_proxy(spec: Mapping[str, Any], found: Mapping[str, Setting]) -> list[Probe]:
    """The pod's probes that would end at the proxy: not those of another host, or of a skipped port."""
    skipped = parse_ports(found["skip-inbound-ports"].value) if "skip-inbound-ports" in found else []
    return [probe for probe in _probes(spec) if not any(probe.port in ports for ports in skipped)]


def settings(probes: Iterable[Probe]) -> dict[str, str]:
    """What the proxy may be asked for: ports ("6379,8080") and HTTPS requests ("8443/healthz 8443/ready")."""
    known = list(probes)
    ports = sorted({probe.port for probe in known if not probe.path})
    requests = sorted({f"{probe.port}{probe.path}" for probe in known if probe.path})
    values = {"WEFT_PROBE_PORTS": ",".join(map(str, ports)), "WEFT_PROBE_HTTPS": " ".join(requests)}
    return {name: value for name, value in values.items() if value}


def _probes(spec: Mapping[str, Any]) -> Iterator[Probe]:
    for group in ("initContainers", "containers"):
        for position, container in enumerate(spec.get(group) or []):
            for kind in KINDS:
                probe = container.get(kind) or {}
                yield from _tcp(f"/spec/{group}/{position}/{kind}", container, probe.get("tcpSocket") or {})
                yield from _https(f"/spec/{group}/{position}/{kind}", container, probe.get("httpGet") or {})


def _tcp(pointer: str, container: Mapping[str, Any], action: Mapping[str, Any]) -> Iterator[Probe]:
    if action and not action.get("host") and (port := _number(container, action.get("port"))):
        yield Probe(pointer, port)


def _https(pointer: str, container: Mapping[str, Any], action: Mapping[str, Any]) -> Iterator[Probe]:
    if action.get("scheme") != "HTTPS" or action.get("host"):
        return
    path = "/" + str(action.get("path") or "").removeprefix("/")
    if (port := _number(container, action.get("port"))) and _PATH.fullmatch(path):
        headers = action.get("httpHeaders")
        yield Probe(pointer, port, path, {"httpHeaders": headers} if headers else {})


def _number(container: Mapping[str, Any], port: Any) -> int | None:
    """A probe's port, which may be the name of one of its container's."""
    if isinstance(port, int):
        return port
    named = (one.get("containerPort") for one in container.get("ports") or [] if one.get("name") == port)
    return next(named, None)
