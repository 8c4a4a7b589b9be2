"""weft-networks: do the addresses that weft takes for the cluster's own cover what the cluster has?"""

import ipaddress
from collections.abc import Iterable

from weft import installed
from weft.checks.model import Category, Check, CheckFailedError, CheckSkippedError, Scene, require

SHOWN = 5
HINT = (
    "Set global.clusterNetworks to the cluster's networks: outside them, proxies send in plain text where the control "
    "plane gives no answer."
)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _pods(scene: Scene) -> None:
    pods = scene.kube.list("/api/v1/pods")
    own = (pod for pod in pods if not (pod.get("spec") or {}).get("hostNetwork"))
    _require_inside(scene, "pods", (ip["ip"] for pod in own for ip in (pod.get("status") or {}).get("podIPs") or []))


def _services(scene: Scene) -> None:
    services = scene.kube.list("/api/v1/services")
    addresses = (ip for service in services for ip in (service.get("spec") or {}).get("clusterIPs") or [])
    _require_inside(scene, "Services", (address for address in addresses if address != "None"))


def _require_inside(scene: Scene, what: str, addresses: Iterable[str]) -> None:
    networks = _networks(scene)
    outside = sorted({text for text in addresses if not _inside(text, networks)})
    more = f" and {len(outside) - SHOWN} more" if len(outside) > SHOWN else ""
    require(not outside, f"addresses of {what} outside cluster-networks: {', '.join(outside[:SHOWN])}{more}")


def _inside(text: str, networks: list[Network]) -> bool:
    address = ipaddress.ip_address(text)
    return any(address in network for network in networks)


def _networks(scene: Scene) -> list[Network]:
    text = ((installed.config(scene.kube) or {}).get("data") or {}).get("cluster-networks", "")
    if not text:
        raise CheckSkippedError
    try:
        return [ipaddress.ip_network(part.strip()) for part in text.split(",")]
    except ValueError as error:
        raise CheckFailedError(f"cluster-networks of ConfigMap weft-config: {error}") from error


CATEGORY = Category(
    "weft-networks",
    (
        Check("networks-pods", "the cluster's networks cover all pods", _pods, HINT),
        Check("networks-services", "the cluster's networks cover all Services", _services, HINT),
    ),
)
