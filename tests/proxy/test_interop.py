"""gRPC's own interoperability tests, client and server of grpc-go, through two sidecars."""

import os
import subprocess

import pytest
from mesh import GRPC, MESHED, SERVER_POD, TOOLS, UNMESHED, Mesh, listens
from netns import Namespace

CASES = (
    *("empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream"),
    *("timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response", "status_code_and_message"),
    *("special_status_message", "custom_metadata", "unimplemented_method", "unimplemented_service"),
    *("orca_per_rpc", "orca_oob"),
)
"""All that need no credentials and that grpc-go's own server passes without a proxy: it knows no server IDs
(pick_first_unary)."""
OPTIONS = dict.fromkeys(
    ("orca_per_rpc", "orca_oob"),
    '--service_config_json={"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}',
)
"""What a case wants of its client: ORCA's reports are what this balancer hears."""
ITERATIONS = int(os.environ.get("WEFT_SOAK_ITERATIONS", "50"))


@pytest.fixture(scope="module", autouse=True)
def _server(mesh: Mesh) -> None:
    """The interop server, behind the server's proxy and, without one, on the node."""
    for namespace in (mesh.server.namespace, mesh.node):
        mesh.run(namespace, [str(TOOLS / "server"), f"--port={GRPC}"])
        listens(namespace, GRPC)


def interop(namespace: Namespace, host: str, case: str, *options: str) -> str:
    """What the client complains about; empty when the case passed."""
    argv = [str(TOOLS / "client"), f"--server_host={host}", f"--server_port={GRPC}", f"--test_case={case}", *options]
    ran = subprocess.run(namespace.argv(argv), check=False, capture_output=True, text=True, timeout=500)
    return ran.stderr if ran.returncode else ""


@pytest.mark.parametrize("case", CASES)
def test_case(mesh: Mesh, case: str) -> None:
    """From sidecar to sidecar, from a sidecar to a server without, from a client without to a sidecar: it passes."""
    ways = ((mesh.client.namespace, MESHED), (mesh.client.namespace, UNMESHED), (mesh.node, SERVER_POD))
    options = [OPTIONS[case]] if case in OPTIONS else []
    assert [interop(namespace, host, case, *options) for namespace, host in ways] == ["", "", ""]


@pytest.mark.parametrize("case", ["rpc_soak", "channel_soak"])
def test_soak(mesh: Mesh, case: str) -> None:
    """Large calls one after the other, on one channel or on one each: none fails."""
    limits = ("--soak_max_failures=0", "--soak_overall_timeout_seconds=400")
    assert interop(mesh.client.namespace, MESHED, case, f"--soak_iterations={ITERATIONS}", *limits) == ""
