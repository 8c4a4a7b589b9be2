"""The proxies that are compared: what to start for each side, 'client' (outbound) and 'server' (inbound).

A proxy is started in its side's namespace as uid 2102 and is ready when 127.0.0.1:4191/ready answers 200.
"""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxybench import envoy, netns
from proxybench.control_plane import LISTEN
from proxybench.identities import PKI, SIDES, TRUST_DOMAIN, spiffe

NAMESPACES = {"server": netns.SERVER, "client": netns.CLIENT}
"""In the order of start: the server's side first."""
BUILT = netns.ROOT / f"proxy/target/{platform.machine()}-unknown-linux-gnu/release/weft-proxy"
WEFT = Path(os.environ.get("WEFT_PROXY", BUILT))
PEERS = ("weft", "direct", "envoy", "envoy-h2")
CONTROL = spiffe("control-plane", "weft")
GATEWAY_ADMIN = 5191


@dataclass
class Pair:
    """An outbound and an inbound proxy that run; none for 'direct'."""

    name: str
    processes: dict[str, netns.Process] = field(default_factory=dict)

    def address(self, port: int) -> str:
        """Where a load generator reaches a port of the Service."""
        return f"{netns.SERVICE}:{port}" if self.processes else f"{netns.ENDPOINTS[0]}:{netns.DIRECT[port]}"

    def cpu(self, *sides: str) -> float:
        """CPU seconds that both have used, or these."""
        return sum(netns.cpu_seconds(p.pid) for side, p in self.processes.items() if not sides or side in sides)

    def rss(self) -> float:
        """MB of the larger of the two."""
        return max(netns.rss_mb(p.pid) for p in self.processes.values())

    def close(self) -> None:
        """Ends both."""
        for process in self.processes.values():
            netns.stop(process)


def start(name: str) -> Pair:
    """Starts a pair and waits until a request gets through."""
    pair = Pair(name)
    if name == "direct":
        return pair
    try:
        for side, namespace in NAMESPACES.items():
            argv, env = weft(side) if name == "weft" else envoy.command(side, mesh_h2=name == "envoy-h2")
            pair.processes[side] = netns.spawn(namespace, argv, env, uid=netns.PROXY_UID, log=f"{name}-{side}")
            netns.wait_for(namespace, "127.0.0.1", 4191, "/ready")
        netns.wait_for(netns.CLIENT, netns.SERVICE, netns.HTTP1, "/")
    except TimeoutError:
        pair.close()
        raise
    return pair


def weft(side: str) -> tuple[list[str], Mapping[str, str]]:
    """A sidecar as the chart sets it up."""
    account = SIDES[side]
    pod_ips = "10.77.0.1" if side == "client" else ",".join(netns.ENDPOINTS)
    return [netns.program(WEFT)], _settings(account, "shop") | {
        "WEFT_OUTBOUND_LISTEN": "127.0.0.1:4140",
        "WEFT_IDENTITY_ADDR": f"{netns.ENDPOINTS[0]}:{netns.IDENTITY}",
        "WEFT_DESTINATION_ADDR": f"{netns.ENDPOINTS[0]}:{netns.DESTINATION}",
        "WEFT_POD_IPS": pod_ips,
        "WEFT_WORKLOAD": f"deployment/{account}",
        "WEFT_CLUSTER_NETWORKS": "10.0.0.0/8",
    }


def _settings(account: str, namespace: str) -> dict[str, str]:
    token = PKI / f"{account}.token"
    token.write_text(f"{namespace}/{account}")
    return {
        "WEFT_IDENTITY_ID": CONTROL,
        "WEFT_DESTINATION_ID": CONTROL,
        "WEFT_TOKEN_FILE": str(token),
        "WEFT_TRUST_BUNDLE": str(PKI / "ca.pem"),
        "WEFT_TRUST_DOMAIN": TRUST_DOMAIN,
        "WEFT_POD_NAME": f"{account}-1",
        "WEFT_POD_NAMESPACE": namespace,
        "WEFT_SERVICE_ACCOUNT": account,
    }


def control_plane() -> list[netns.Process]:
    """identity/v1 and discovery/v1 in the server's namespace, behind a weft gateway that ends mesh TLS."""
    here = {"PYTHONPATH": str(netns.ROOT / "bench/proxy")}
    plane = netns.spawn(netns.SERVER, [sys.executable, "-m", "proxybench.control_plane"], here, log="control-plane")
    netns.said(plane)
    at = {name: f"127.0.0.1:{port}" for name, port in LISTEN.items()}
    env = _settings("control-plane", "weft") | {
        "WEFT_MODE": "gateway",
        "WEFT_IDENTITY_ADDR": f"plain:{at['identity']}",
        "WEFT_FORWARD": f"{netns.IDENTITY}={at['identity']},{netns.DESTINATION}={at['destination']}",
        "WEFT_FORWARD_ANONYMOUS": str(netns.IDENTITY),
        "WEFT_ADMIN_LISTEN": f"127.0.0.1:{GATEWAY_ADMIN}",
    }
    gateway = netns.spawn(netns.SERVER, [netns.program(WEFT)], env, uid=netns.PROXY_UID, log="gateway")
    netns.wait_for(netns.SERVER, "127.0.0.1", GATEWAY_ADMIN, "/ready")
    return [plane, gateway]
