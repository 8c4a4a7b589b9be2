"""Whether a pod gets the proxy, and if not, why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from weft_kube.names import (
    INIT_CONTAINER,
    INJECT,
    PORT_ADMIN,
    PORT_INBOUND,
    PORT_OUTBOUND,
    PORT_TAP,
    PROXY_CONTAINER,
    PROXY_UID,
    PROXY_VERSION,
)

from weft_sidecar.options import Setting
from weft_sidecar.template import DEBUG_CONTAINER
from weft_sidecar.values import seconds

OWN_NAMES = {INIT_CONTAINER, PROXY_CONTAINER, DEBUG_CONTAINER}


class Skip(Enum):
    """Why a pod is left as it is; the value is a metric's label."""

    DISABLED = "disabled"
    NOT_ENABLED = "not_enabled"
    ALREADY_INJECTED = "already_injected"
    HOST_NETWORK = "host_network"
    MIRROR_POD = "mirror_pod"
    NOT_LINUX = "not_linux"

    @property
    def message(self) -> str | None:
        """For people, or None where it would be noise."""
        return _MESSAGES.get(self)


_MESSAGES = {
    Skip.DISABLED: f"annotation {INJECT} of the pod is disabled",
    Skip.HOST_NETWORK: "hostNetwork is set: redirection would change the node's own traffic",
    Skip.NOT_LINUX: "the proxy runs on Linux only",
}


class RefusedError(Exception):
    """The pod must not start: it asks for injection and cannot have it."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """What of the pod is the proxy's own."""

    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place} uses {self.what}, which is the proxy's own"


def skip_reason(pod: Mapping[str, Any], namespace_labels: Mapping[str, str]) -> Skip | None:
    """Why the pod is skipped; None if it is to be injected. An unknown value of its annotation raises RefusedError."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    annotations = metadata.get("annotations") or {}
    wish = annotations.get(INJECT, namespace_labels.get(INJECT, ""))
    if INJECT in annotations and wish not in ("enabled", "disabled"):
        raise RefusedError(f"annotation {INJECT} of the pod is {wish!r}, not enabled or disabled")
    reasons = {
        Skip.MIRROR_POD: "kubernetes.io/config.mirror" in annotations,
        Skip.ALREADY_INJECTED: _injected(metadata, spec),
        Skip.DISABLED: INJECT in annotations and wish == "disabled",
        Skip.NOT_ENABLED: wish != "enabled",
        Skip.HOST_NETWORK: bool(spec.get("hostNetwork")),
        Skip.NOT_LINUX: (spec.get("os") or {}).get("name", "linux") != "linux",
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def check_conflicts(pod: Mapping[str, Any], found: Mapping[str, Setting]) -> None:
    """Raises RefusedError if the pod uses what is the proxy's own: a container's name, or ports and uid, by which its
    traffic would loop or go past the proxy."""
    conflicts = list(_conflicts(pod.get("spec") or {}, _own_ports(found)))
    if conflicts:
        raise RefusedError("; ".join(map(str, conflicts)))


def warnings(pod: Mapping[str, Any], found: Mapping[str, Setting]) -> list[str]:
    """What is allowed and yet will not work as it says."""
    grace, limit = found.get("shutdown-grace"), (pod.get("spec") or {}).get("terminationGracePeriodSeconds", 30)
    if grace is None or seconds(grace.value) <= limit:
        return []
    return [f"shutdown-grace {grace.value} is cut short: the pod's terminationGracePeriodSeconds is {limit}"]


def all_containers(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Init containers and containers."""
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _injected(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """A container's name alone tells nothing: anybody can give it."""
    names = [container["name"] for container in spec.get("initContainers") or []]
    return PROXY_CONTAINER in names and PROXY_VERSION in (metadata.get("labels") or {})


def _own_ports(found: Mapping[str, Setting]) -> set[int]:
    chosen = {"inbound-port": PORT_INBOUND, "outbound-port": PORT_OUTBOUND}
    ports = [int(found[name].value) if name in found else port for name, port in chosen.items()]
    own = {*ports, PORT_TAP, PORT_ADMIN}
    if len(own) < 4:
        raise RefusedError(f"inbound-port and outbound-port must differ, from {PORT_TAP} and {PORT_ADMIN} too")
    return own


def _conflicts(spec: Mapping[str, Any], own_ports: set[int]) -> Iterable[Conflict]:
    if (spec.get("securityContext") or {}).get("runAsUser") == PROXY_UID:
        yield Conflict("the pod", f"uid {PROXY_UID}")
    for container in all_containers(spec):
        place = f"container {container['name']}"
        if container["name"] in OWN_NAMES:
            yield Conflict(place, "that name")
        if (container.get("securityContext") or {}).get("runAsUser") == PROXY_UID:
            yield Conflict(place, f"uid {PROXY_UID}")
        for port in container.get("ports") or []:
            if port.get("containerPort") in own_ports:
                yield Conflict(place, f"port {port['containerPort']}")
