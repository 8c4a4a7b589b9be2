"""Rows: numbers where they are known, and a note where there are none."""

import pytest
from weft_web.model import Latency, Meshed, Row, Totals
from weft_web.stat import Numbers, fill
from weft_web.table import Outcomes

KEY = ("shop", "deployment", "web")
MESHED = Meshed(pods=1, running=1)


def filled(numbers: Numbers, meshed: Meshed = MESHED, *, client_side: bool = False) -> Row:
    """Row deployment shop/web with these numbers over 60 s."""
    row = Row("shop", "deployment", "web", meshed)
    fill(row, numbers, 60, client_side=client_side)
    return row


def test_success_leaves_cancelled_requests_out_and_rps_counts_them() -> None:
    """success = success / (success + failure); rps is of all."""
    counts = Outcomes({"success": 90.0, "failure": 10.0, "cancelled": 20.0})
    latency = Latency(0.001, 0.002, 0.003)
    row = filled(Numbers(grown={KEY: counts}, totals={KEY: counts}, latency={KEY: latency}, up={KEY: 1.0}))
    assert (0.9, 2.0, latency, Totals(90, 10, 20), "") == (
        row.success,
        row.rps,
        row.latency_seconds,
        row.totals,
        row.note,
    )


def test_a_scraped_proxy_without_traffic_has_zeros() -> None:
    """Zero is known, success is not."""
    row = filled(Numbers(up={KEY: 1.0}))
    assert (None, 0.0, 0, Totals(0, 0, 0)) == (row.success, row.rps, row.tcp_open_connections, row.totals)
    assert row.note == "no traffic in the last 60 s"


@pytest.mark.parametrize(
    ("meshed", "up", "note"),
    [
        (Meshed(0, 0), {}, "no running pods"),
        (
            Meshed(0, 2),
            {},
            "not in the mesh: no proxy in any pod "
            "(kubectl get -n shop deploy/web -o yaml | weft inject - | kubectl apply -f -)",
        ),
        (MESHED, {}, "Prometheus has no data yet: it has not scraped any of its proxies"),
        (MESHED, {KEY: 0.0}, "Prometheus cannot scrape its proxies (port 4191): see its page of targets"),
    ],
)
def test_a_row_without_numbers_says_why(meshed: Meshed, up: dict[tuple[str, ...], float], note: str) -> None:
    """Unknown numbers are null, never zero, and the note names the cause."""
    row = filled(Numbers(up=up), meshed)
    assert (None, None, None, note) == (row.rps, row.totals, row.tcp_open_connections, row.note)


@pytest.mark.parametrize("namespace", ["kube-system", "weft"])
def test_nobody_is_told_to_inject_what_is_never_injected(namespace: str) -> None:
    """Kubernetes' own pods, and the mesh's."""
    row = Row(namespace, "deployment", "web", Meshed(0, 1))
    fill(row, Numbers(), 60, client_side=False)
    assert row.note == f"not in the mesh: pods of {namespace} get no proxy by injection"


def test_proxies_that_could_not_be_scraped_are_told() -> None:
    """One of four is missing in the numbers."""
    row = filled(Numbers(grown={KEY: Outcomes({"success": 60.0})}, up={KEY: 0.75}))
    told = "Prometheus cannot scrape 25% of the proxies (port 4191): what they saw is missing"
    assert (row.rps, row.note) == (1.0, told)


def test_tcp_traffic_without_requests_is_told() -> None:
    """A TCP-only workload is not idle."""
    row = filled(Numbers(up={KEY: 1.0}, tcp_read={KEY: 5.0}))
    assert row.note == "TCP only: no HTTP requests in the last 60 s"


def test_silence_towards_a_peer_is_not_silence() -> None:
    """With `to` or `from`, the note speaks of that peer."""
    told = "no traffic with that peer in the last 60 s"
    assert filled(Numbers(up={KEY: 1.0}), client_side=True).note == told
    assert filled(Numbers(peer_up=1.0), Meshed(0, 1), client_side=True).note == told


def test_what_policies_deny_is_told() -> None:
    """Beside the numbers; drafts in audit apart."""
    denied = {KEY: {"enforce": 3.0, "audit": 12.0}}
    row = filled(Numbers(grown={KEY: Outcomes({"success": 60.0})}, up={KEY: 1.0}, denied=denied))
    told = "3 calls denied and 12 calls would be denied, were policies in audit enforced, in the last 60 s"
    assert (row.rps, row.note) == (1.0, told)
