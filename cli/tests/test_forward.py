"""Connections to pods, the client of the public API, and the commands that use them."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from weft import forward
from weft.client import Client
from weft.cluster import Kube
from weft.errors import Failure
from weft.forward import Connect
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import namespace, pod

ROW: dict[str, Any] = {
    "namespace": "teahouse",
    "kind": "deployment",
    "name": "counter",
    "meshed": {"pods": 1, "running": 1},
    "success": 0.92,
    "rps": 10.04,
    "latency_seconds": {"p50": 0.004, "p95": 0.01, "p99": 0.02},
    "tcp_open_connections": 4,
    "tcp_read_bytes_per_second": 1.0,
    "tcp_written_bytes_per_second": 2.0,
    "totals": {"success": 92, "failure": 8, "cancelled": 0},
    "status": "",
    "note": "",
}


def test_client_leaves_out_what_is_empty(web: Connect, answers: dict[str, Any]) -> None:
    """Parameters that are not given are not sent."""
    answers["/api/v1/stat?kind=pod&namespace=%2A"] = (200, {"rows": [ROW]})
    assert Client(web).stat("pod", namespace="*", name="")["rows"] == [ROW]


def test_client_tells_cause_and_hint(web: Connect, answers: dict[str, Any]) -> None:
    """Of the API's errors."""
    error = {"code": "bad", "message": "window is not a time", "hint": "for example 60s"}
    answers["/api/v1/version"] = (400, {"error": error})
    with pytest.raises(Failure) as caught:
        Client(web).version()
    assert caught.value.format_message() == "window is not a time. for example 60s"


def test_client_of_something_else(web: Connect, answers: dict[str, Any]) -> None:
    """No JSON is one line, too."""
    answers["/api/v1/version"] = (200, b"<html>")
    with pytest.raises(Failure, match="web does not answer as it should"):
        Client(web).version()


def test_local_forwarder(web: Connect, answers: dict[str, Any]) -> None:
    """A browser's connections reach the pod, one after the other and side by side."""
    answers["/"] = (200, b"x" * 1_000_000)
    local = forward.LocalForwarder(web, 0)
    for _ in range(3):
        with urlopen(f"http://127.0.0.1:{local.port}/") as response:
            assert answers["/"][1] == response.read()
    local.close()


def test_each_connection_goes_to_a_pod_that_is_ready(kube: FakeKube, tmp_path: Path) -> None:
    """A pod that was rolled out since, or is on its way out, gets none."""
    cluster = Kube.connect(str(tmp_path / "kubeconfig"), None)
    cluster.forward = lambda *address: address  # type: ignore[method-assign]
    connect = forward.to_component(cluster, "web", 8084)
    with pytest.raises(Failure, match="no pod of web is ready"):
        connect()
    web = pod("weft", "web-1", labels={"weft.dev/component": "web"})
    web["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    kube.put(web)
    assert connect() == ("weft", "web-1", 8084)
    kube.put(web | {"metadata": web["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    kube.put(web | {"metadata": web["metadata"] | {"name": "web-2"}})
    assert connect() == ("weft", "web-2", 8084)


def test_a_broken_forward_is_told_once(
    web: Connect, answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Until it has worked again, however often a browser tries; the port goes on."""
    answers["/"] = (200, b"x")
    broken = Failure("no pod of web is ready", "See `weft check`.")
    outcomes = iter([broken, broken, None, broken])

    def connect() -> Any:
        if failure := next(outcomes):
            raise failure
        return web()

    local = forward.LocalForwarder(connect, 0)
    got = [fetched(local.port) for _ in range(4)]
    local.close()
    assert got == [b"", b"", b"x", b""]
    assert capsys.readouterr().err == "weft: no pod of web is ready. See `weft check`.\n" * 2


def fetched(port: int) -> bytes:
    """What a browser gets; nothing when the connection is closed at once."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/") as response:
            return bytes(response.read())
    except OSError:
        return b""


def test_port_in_use() -> None:
    """A port that was asked for must be free; else any free one serves."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Failure) as caught:
            forward.listen(lambda: None, port, strict=True)
        other = forward.listen(lambda: None, port, strict=False)
    other.close()
    expected = f"cannot listen on port {port}: Address already in use. Choose another by --port, or none."
    assert expected == caught.value.format_message()
    assert other.port != port


def test_stat_command(weft: Any, forwarded: None, answers: dict[str, Any], same: Callable[[str, str], None]) -> None:
    """The context's namespace, short kinds, and the reason for missing numbers on stderr."""
    bare = ROW | {"name": "menu", "success": None, "rps": None, "latency_seconds": None, "note": "not meshed"}
    rows = {"window_seconds": 60, "rows": [ROW, bare], "warnings": []}
    answers["/api/v1/stat?kind=deployment&namespace=teahouse&window=60s"] = (200, rows)
    result = weft("viz", "stat", "deploy")
    assert (result.exit_code, result.stderr) == (0, "deployment/menu: not meshed\n")
    same("stat-command.txt", result.stdout)
    assert rows == json.loads(weft("viz", "stat", "deploy", "-o", "json").stdout)


def test_stat_command_with_filters(weft: Any, forwarded: None, answers: dict[str, Any]) -> None:
    """Peers are sent with their kind spelled out; several kinds give a table each."""
    query = "&namespace=%2A&window=5m&to=deployment%2Fkettle&to_namespace=b&selector=a%3Db"
    for kind in ("pod", "statefulset"):
        rows = [ROW | {"kind": kind}]
        answer = {"window_seconds": 300, "rows": rows, "warnings": []}
        answers[f"/api/v1/stat?kind={kind}&name=x{query}"] = (200, answer)
    filters = ["-A", "-t", "5m", "--to", "deploy/kettle", "--to-namespace", "b", "-l", "a=b"]
    result = weft("viz", "stat", "po/x", "sts/x", *filters)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["NAMESPACE", "teahouse", "", "NAMESPACE", "teahouse"]
    assert [lines[1].split()[1], lines[4].split()[1]] == ["pod/counter", "statefulset/counter"]


def test_empty_stat_says_why(weft: Any, forwarded: None, kube: FakeKube, answers: dict[str, Any]) -> None:
    """Nothing on stdout, the reason on stderr; a namespace that is not there is a failure, to have nothing is none."""
    path = "/api/v1/stat?kind=deployment&namespace=x&window=60s"
    answers[path] = (200, {"window_seconds": 60, "rows": [], "warnings": []})
    result = weft("viz", "stat", "deploy", "-n", "x")
    expected = "weft: there is no namespace x. Name another by -n, or all by -A.\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", expected)
    kube.put(namespace("x"))
    result = weft("viz", "stat", "deploy", "-n", "x")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no deployments in namespace x\n")


def test_routes_to_a_peer(weft: Any, forwarded: None, kube: FakeKube, answers: dict[str, Any]) -> None:
    """It is asked for, and named where there were none."""
    kube.put(namespace("teahouse"))
    for view, query in (("routes", "&window=60s&to=service%2Fdb"), ("stat", "&window=60s")):
        path = f"/api/v1/{view}?kind=deployment&namespace=teahouse&name=web{query}"
        answers[path] = (200, {"window_seconds": 60, "rows": [ROW] if view == "stat" else [], "warnings": []})
    result = weft("viz", "routes", "deploy/web", "--to", "svc/db")
    expected = "deployment/web sent no HTTP requests to service/db in namespace teahouse within the last 60s\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", expected)


@pytest.mark.parametrize("command", ["stat", "edges", "routes"])
def test_an_incomplete_answer_is_a_failure(weft: Any, forwarded: None, answers: dict[str, Any], command: str) -> None:
    """What there is is printed; then one line says what is missing."""
    down = {"rows": [], "warnings": ["Prometheus does not answer"]}
    answers[f"/api/v1/{command}?kind=deployment&namespace=teahouse&window=60s"] = (200, down)
    expected = "weft: Prometheus does not answer. See `weft check`.\n"
    result = weft("viz", command, "deploy")
    assert (1, "", expected) == (result.exit_code, result.stdout, result.stderr)
    result = weft("viz", command, "deploy", "-o", "json")
    assert (1, down, expected) == (result.exit_code, json.loads(result.stdout), result.stderr)


def test_stat_of_what_is_not_there_is_a_failure(weft: Any, forwarded: None, answers: dict[str, Any]) -> None:
    """An object that was named is missing; the others' numbers are printed all the same."""
    why = "there is no deployment 'nosuch' in namespace teahouse"
    for name, rows, warnings in (("counter", [ROW], []), ("nosuch", [], [why])):
        path = f"/api/v1/stat?kind=deployment&name={name}&namespace=teahouse&window=60s"
        answers[path] = (200, {"window_seconds": 60, "rows": rows, "warnings": warnings})
    result = weft("viz", "stat", "deploy", "counter", "nosuch")
    assert (result.exit_code, len(result.stdout.splitlines())) == (1, 2)
    assert result.stderr == f"weft: {why}. `weft viz stat deployment -A` shows what there is.\n"


def test_without_viz(weft: Any, kube: object) -> None:
    """One line says what to do."""
    expected = (
        "weft: no pod of web is ready in namespace weft. See `weft check`; "
        "if viz is not installed, run `weft viz install | kubectl apply -f -`.\n"
    )
    for command in (["stat", "deploy"], ["edges", "deploy"], ["dashboard", "--no-open"]):
        result = weft("viz", *command)
        assert (1, "", expected) == (result.exit_code, result.stdout, result.stderr)


def test_dashboard_prints_both_urls(
    weft: Any,
    forwarded: None,
    answers: dict[str, Any],
    same: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The dashboard's and Grafana's; without a Grafana it says so."""
    answers["/api/v1/version"] = (200, {"version": "0.1.0", "grafana_url": None})

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr("weft.commands.dashboard._until_interrupted", lambda: None)
    result = weft("viz", "dashboard", "--no-open", "--port", str(port))
    assert result.exit_code == 0
    same("viz-dashboard.txt", result.stdout.replace(str(port), "50750"))
