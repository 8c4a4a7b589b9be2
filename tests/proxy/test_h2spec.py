"""HTTP/2 as RFC 9113 and RFC 7541 have it: every case of h2spec, before and behind the proxies."""

import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from bridge import Bridge
from mesh import HTTP2, HTTPS, MESHED, SERVER_POD, TOOLS, UNMESHED, Mesh
from netns import Namespace

CASES = 146
"""How many h2spec has, strict ones included; one of them skips itself (6.5.3/2 of a server without that setting)."""
BRIDGE = 18090
NO_HTTP = "http2/3.5 Sends invalid connection preface"
"""What is no HTTP is carried to the application: how that ends the connection is its own affair (Go's may reset it)."""


def h2spec(namespace: Namespace, host: str, port: int, folder: Path, *options: str) -> tuple[int, list[str]]:
    """The number of cases that ran, and those that failed."""
    report = folder / "report.xml"
    argv = [str(TOOLS / "h2spec"), "--strict", "-h", host, "-p", str(port), "-j", str(report), *options]
    subprocess.run(namespace.argv(argv), check=False, stdout=subprocess.DEVNULL, timeout=500)
    cases = ET.parse(report).getroot().findall(".//testcase")  # noqa: S314 - h2spec's own
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    names = [f"{case.get('package')} {case.get('classname')}" for case in failed]
    return len(cases), [name for name in names if name != NO_HTTP]


@pytest.mark.parametrize("service", [MESHED, UNMESHED])
def test_outbound(mesh: Mesh, service: str, tmp_path: Path) -> None:
    """An application's HTTP/2 is served by the rules, towards a pod of the mesh and towards others."""
    assert h2spec(mesh.client.namespace, service, HTTP2, tmp_path) == (CASES, [])


def test_inbound_plain(mesh: Mesh, tmp_path: Path) -> None:
    """So is that of a client without a proxy."""
    assert h2spec(mesh.node, SERVER_POD, HTTP2, tmp_path) == (CASES, [])


def test_inbound_mesh(mesh: Mesh, tmp_path: Path) -> None:
    """So is that of a peer, inside mesh TLS."""
    with Bridge(mesh, BRIDGE, HTTP2):
        assert h2spec(mesh.node, "127.0.0.1", BRIDGE, tmp_path) == (CASES, [])


@pytest.mark.long
@pytest.mark.parametrize("service", [MESHED, UNMESHED])
def test_passed_through(mesh: Mesh, service: str, tmp_path: Path) -> None:
    """TLS of the application's own is carried untouched: its server shows the same faults as without proxies."""
    (tmp_path / "direct").mkdir()
    direct = h2spec(mesh.server.namespace, "127.0.0.1", HTTPS, tmp_path / "direct", "--tls", "--insecure")
    assert direct == h2spec(mesh.client.namespace, service, HTTPS, tmp_path, "--tls", "--insecure")
