"""The demo application through the mesh."""

import json
from pathlib import Path
from typing import Any

from lab import api, eventually, get, http, kubectl, rolled_out, run, weft
from load import running

HEADER = "NAME MESHED SUCCESS RPS LATENCY_P50 LATENCY_P95 LATENCY_P99 TCP_CONN"


def test_before_the_mesh_the_page_works_and_the_api_says_why_there_are_no_numbers(unmeshed: dict[str, object]) -> None:
    """An unmeshed workload is shown, with the reason and not with zeros."""
    rows = json.loads(str(unmeshed["stat"]))["rows"]
    counter = next(row for row in rows if row["name"] == "counter")

    assert (unmeshed["page"], counter["success"]) == (200, None)
    assert "not in the mesh" in counter["note"]


def test_the_page_works_through_the_mesh(counter: str) -> None:
    """Page, gRPC, TCP and the server that speaks first, each by its own call."""
    assert http(f"{counter}/")[0] == 200
    assert len(json.loads(http(f"{counter}/api/menu")[1])) == 6
    assert json.loads(http(f"{counter}/api/greeting?guest=mia")[1]) == {"greeting": "Enjoy your cup, mia."}
    assert http(f"{counter}/api/orders?tea=sencha&guest=mia", "POST")[0] == 200


def test_the_planted_fault_is_an_internal_error_of_kettle(counter: str) -> None:
    """The application's own error passes through unchanged."""
    status, text = http(f"{counter}/api/orders?tea=oolong&guest=mia", "POST")

    assert (status, json.loads(text)["code"]) == (500, "INTERNAL")


def test_sidecars_are_native_and_the_rules_are_set_before_the_application(teahouse: None) -> None:
    """weft-init, then weft-proxy with restartPolicy Always, both init containers."""
    pod = get("pods", "-n", "teahouse", "-l", "app=counter")["items"][0]
    inits = [(c["name"], c.get("restartPolicy")) for c in pod["spec"]["initContainers"]]

    assert inits == [("weft-init", None), ("weft-proxy", "Always")]


def test_inject_is_idempotent_and_uninject_takes_it_back(teahouse: None) -> None:
    """A second inject changes nothing; uninject leaves no trace of the first."""
    live = kubectl("-n", "teahouse", "get", "deploy", "-o", "yaml")
    once = weft("inject", "-", stdin=live)

    assert once == weft("inject", "-", stdin=once)
    assert "weft.dev/inject: enabled" not in weft("uninject", "-", stdin=once)


def test_a_workload_leaves_the_mesh_and_comes_back(counter: str) -> None:
    """`weft uninject | kubectl apply`, as the guide says: its pods have no proxy, who calls it still may; and back."""
    greeting = f"{counter}/api/greeting?guest=mia"
    try:
        applied("uninject")
        eventually(lambda: in_the_mesh() == {False}, 120)
        assert http(greeting)[0] == 200
    finally:
        applied("inject")
    eventually(lambda: in_the_mesh() == {True}, 120)
    assert http(greeting)[0] == 200


def applied(command: str) -> None:
    """The greeter as it is, through inject or uninject, back into the cluster."""
    live = kubectl("-n", "teahouse", "get", "deploy", "greeter", "-o", "yaml")
    kubectl("apply", "-f", "-", stdin=weft(command, "-", stdin=live))
    rolled_out("teahouse", "greeter")


def in_the_mesh() -> set[bool]:
    """Whether the greeter's pods have a proxy, those that are about to end included."""
    pods = get("pods", "-n", "teahouse", "-l", "app=greeter")["items"]
    return {"weft.dev/proxy-version" in pod["metadata"]["labels"] for pod in pods}


def test_stat_top_tap_and_edges_show_the_planted_fault(teahouse: None) -> None:
    """Kettle is at about 85 %, counter at about 92 %, menu at 100 %; top and tap point at BrewOolong."""
    with running("watched", rate=20, count=2400):
        rows = eventually(lambda: stat_with_traffic("kettle", "counter", "menu"), 90)

        assert 0.75 < rows["kettle"]["success"] < 0.95
        assert 0.87 < rows["counter"]["success"] < 0.97
        assert rows["menu"]["success"] == 1

        table = weft("-n", "teahouse", "viz", "stat", "deploy").splitlines()
        assert " ".join(table[0].split()) == HEADER

        top = json.loads(
            weft("-n", "teahouse", "viz", "top", "deploy/kettle", "--once", "--duration", "10s", "-o", "json")
        )
        failing = {row["path"] for row in top["rows"] if row["success_rate"] == 0}
        assert failing == {"/teahouse.v1.Kettle/BrewOolong"}

        events = weft("-n", "teahouse", "viz", "tap", "deploy/counter", "--limit", "10", "-o", "json").splitlines()
        assert len(events) == 10
        assert {"true"} == {
            json.loads(event)["tls"] for event in events if json.loads(event)["direction"] == "outbound"
        }

        edges = json.loads(weft("viz", "edges", "deploy", "-n", "teahouse", "-o", "json"))
        pairs = {(e["src"]["name"], e["dst"]["name"]) for e in edges["rows"] if e["tls"] == "true"}
        assert {("counter", "menu"), ("counter", "kettle"), ("kettle", "shelf")} <= pairs


def stat_with_traffic(*names: str) -> dict[str, dict[str, Any]]:
    """Rows by name, once all of these had hundreds of requests."""
    found = json.loads(weft("-n", "teahouse", "viz", "stat", "deploy", "-o", "json"))["rows"]
    rows = {row["name"]: row for row in found}
    assert all(rows[name]["success"] is not None and rows[name]["rps"] > 4 for name in names), rows
    return rows


def test_tap_without_the_right_is_refused_and_names_what_would_grant_it(teahouse: None, tmp_path: Path) -> None:
    """A service account without the right gets one line: what it may not, and the role that would allow it."""
    config = tmp_path / "kubeconfig"
    config.write_text(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    token = kubectl("-n", "teahouse", "create", "token", "menu").strip()
    kubectl("config", "set-credentials", "menu", f"--token={token}", f"--kubeconfig={config}")
    kubectl("config", "set-context", "--current", "--user=menu", f"--kubeconfig={config}")
    done = run("weft", "--kubeconfig", str(config), "-n", "teahouse", "viz", "tap", "deploy/counter", check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert "weft-tap-viewer" in done.stderr


def test_a_job_with_a_proxy_ends(teahouse: None) -> None:
    """A CronJob's pod completes: the sidecar ends with it."""
    patch = {
        "spec": {"jobTemplate": {"spec": {"template": {"metadata": {"annotations": {"weft.dev/inject": "enabled"}}}}}}
    }
    kubectl("-n", "teahouse", "patch", "cronjob", "nightly-audit", "-p", json.dumps(patch))
    kubectl("-n", "teahouse", "create", "job", "audit-now", "--from=cronjob/nightly-audit")
    try:
        kubectl("-n", "teahouse", "wait", "job/audit-now", "--for=condition=Complete", "--timeout=120s")
        pod = get("pods", "-n", "teahouse", "-l", "job-name=audit-now")["items"][0]

        assert "weft-proxy" in {c["name"] for c in pod["spec"]["initContainers"]}
        assert "audit passed" in kubectl("-n", "teahouse", "logs", "job/audit-now")
    finally:
        kubectl("-n", "teahouse", "delete", "job", "audit-now")


def test_a_service_profile_gives_routes_to_client_side_metrics(teahouse: None, web: str) -> None:
    """Its routes are labels on what the callers' proxies count."""
    profile = {
        "apiVersion": "weft.dev/v1alpha1",
        "kind": "ServiceProfile",
        "metadata": {"name": "cashier", "namespace": "teahouse"},
        "spec": {
            "routes": [{"name": "charge", "condition": {"method": "POST", "pathRegex": "/charge"}, "timeout": "2s"}]
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(profile))
    try:
        with running("routes", rate=20, count=1200):
            eventually(
                lambda: (
                    "charge"
                    in {r["route"] for r in api(web, "routes?kind=deployment&namespace=teahouse&name=counter")["rows"]}
                )
            )
    finally:
        kubectl("-n", "teahouse", "delete", "serviceprofile", "cashier")
