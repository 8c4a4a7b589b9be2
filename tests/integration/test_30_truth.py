"""What weft prints is true: counters against a load generator that knows what it sent."""

import json
import subprocess
from typing import Any

import pytest
from lab import api, counted, eventually, get, http, kubectl, proxy_metrics, rolled_out, weft
from load import by_status, running, totals

COUNT = 1600
RATE = 20
A_MINUTE_AND_MORE = 1450
"""Requests after which the last minute was all load; its seed's own rate then is within 2 % of RATE."""


def inbound(app: str) -> dict[str, float]:
    """Inbound requests by status, over the pods of an application."""
    seen: dict[str, float] = {}
    for pod in get("pods", "-n", "teahouse", "-l", f"app={app}")["items"]:
        metrics = proxy_metrics("teahouse", pod["metadata"]["name"])
        for status in ("200", "500", "502", "503", "504"):
            seen[status] = seen.get(status, 0) + counted(
                metrics, "weft_requests_total", direction="inbound", status=status, tls="true"
            )
    return seen


def test_counters_stat_and_the_public_api_agree_with_the_load_generator(teahouse: None, web: str) -> None:
    """After a bounded run every number is the generator's own; rates are within 5 % over a minute."""
    earlier = eventually(lambda: settled(web), 30)
    before = inbound("counter")
    with running("truth", RATE, COUNT, CHAOS_SLOW="0"):
        eventually(lambda: sum(inbound("counter").values()) - sum(before.values()) >= A_MINUTE_AND_MORE, 120, 1)
        rps = float(row(web)["rps"])
        expected = by_status(totals("truth"))

        after = inbound("counter")
        assert {s: after[s] - before[s] for s in expected} == expected

        def scraped() -> bool:
            now = row(web)["totals"]
            grown = {k: now[k] - earlier[k] for k in ("success", "failure", "cancelled")}
            assert grown == {"success": expected["200"], "failure": expected["500"], "cancelled": 0}
            return True

        eventually(scraped, 20)
        shown = json.loads(weft("-n", "teahouse", "viz", "stat", "deploy/counter", "-o", "json"))["rows"][0]
        assert shown["totals"] == row(web)["totals"]
    assert rps == pytest.approx(RATE, rel=0.05)


def test_proxies_hold_what_kubernetes_says(counter: str) -> None:
    """`diagnostics endpoints` shows the addresses of the EndpointSlices, and the version that each proxy has been told
    and itself says that it holds; `diagnostics proxies` shows the proxy of every meshed pod."""
    assert http(f"{counter}/api/menu")[0] == 200
    eventually(in_agreement)


def in_agreement() -> bool:
    """Kubernetes, destination and the proxies, about menu's endpoints."""
    slices = get("endpointslices", "-n", "teahouse", "-l", "kubernetes.io/service-name=menu")["items"]
    ready = [one["addresses"][0] for each in slices for one in each["endpoints"] if one["conditions"]["ready"]]
    shown = json.loads(weft("-n", "teahouse", "diagnostics", "endpoints", "menu:9090", "-o", "json"))
    assert sorted(one["ip"] for one in shown["state"]["endpoints"]) == sorted(ready)
    assert [one["pod"] for one in shown["watchers"] if one["pod"].startswith("counter-")]
    version = shown["version"]
    assert {(one["held_version"], one["proxy_holds"]) for one in shown["watchers"]} == {(version, version)}
    streams = json.loads(weft("-n", "teahouse", "diagnostics", "proxies", "-o", "json"))["streams"]
    pods = [pod["metadata"]["name"] for pod in get("pods", "-n", "teahouse")["items"]]
    assert sorted(one["pod"] for one in streams) == sorted(pods)
    return True


def settled(web: str) -> dict[str, float]:
    """The API's totals, once they are what the proxies count now: nothing is under way or not yet scraped."""
    shown: dict[str, float] = row(web)["totals"]
    pods = get("pods", "-n", "teahouse", "-l", "app=counter")["items"]
    metrics = [proxy_metrics("teahouse", pod["metadata"]["name"]) for pod in pods]
    for result, total in shown.items():
        labels = {"direction": "inbound", "result": result}
        probes = sum(counted(m, "weft_requests_total", route="[probe]", **labels) for m in metrics)
        assert total == sum(counted(m, "weft_requests_total", **labels) for m in metrics) - probes
    return shown


def row(web: str) -> dict[str, Any]:
    """counter's row of the public API."""
    rows = api(web, "stat?kind=deployment&namespace=teahouse&name=counter&window=60s")["rows"]
    found: dict[str, Any] = rows[0]
    return found


def test_top_counts_every_request(teahouse: None) -> None:
    """top's counts add up to what was sent while it looked."""
    look = ["--once", "--duration", "25s", "-o", "json", "--direction", "inbound"]
    command = ["weft", "-n", "teahouse", "viz", "top", "deploy/counter", *look]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as top:
        with running("topped", 50, 400):
            sent = totals("topped")
        assert top.stdout
        rows = json.loads(top.stdout.read())["rows"]
    seen = sum(r["count"] for r in rows if r["path"].startswith("/api/"))

    assert sent["requests"] == seen


def test_a_rollout_under_load_loses_no_request(teahouse: None) -> None:
    """Pods come and go behind the counter and the kettle; only the planted fault fails."""
    names = ("counter", "kettle", "menu")
    with running("rolling", rate=50, count=1500, OOLONG="0"):
        kubectl("-n", "teahouse", "rollout", "restart", *(f"deploy/{name}" for name in names))
        rolled_out("teahouse", *names)
        sent = totals("rolling")
        assert (by_status(sent), sent["failures"]) == ({"200": 1500}, {})


def test_a_scaled_deployment_is_followed_within_a_second(teahouse: None) -> None:
    """New endpoints get requests as soon as they are ready."""
    with running("scaled", rate=50, count=2000, OOLONG="0"):
        kubectl("-n", "teahouse", "scale", "deploy/menu", "--replicas=3")
        try:
            kubectl("-n", "teahouse", "rollout", "status", "deploy/menu", "--timeout=60s")
            pods = get("pods", "-n", "teahouse", "-l", "app=menu")["items"]
            newest = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])["metadata"]["name"]
            eventually(
                lambda: counted(proxy_metrics("teahouse", newest), "weft_requests_total", direction="inbound") > 0,
                2,
                0.1,
            )
        finally:
            kubectl("-n", "teahouse", "scale", "deploy/menu", "--replicas=2")
