"""The figures of the bench, from what load generators say to the table."""

import pytest
from proxybench.load import read_h2load, read_wrk
from proxybench.report import GOALS, NONE, TIMES, Goal, ratio, table

WRK = """Running 4s test @ http://10.77.1.1:8080/
  1 threads and 64 connections
  Latency Distribution
     50%  980.00us
     75%    1.20ms
     90%    1.50ms
     99%    2.50ms
  200000 requests in 4.00s, 50.00MB read
Requests/sec:  50000.25
"""
H2LOAD = """finished in 4.00s, 80000.50 req/s, 12.3MB/s
requests: 320004 total, 320324 started, 320004 done, 320004 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 320004 2xx, 0 3xx, 0 4xx, 0 5xx
"""


def test_wrk_is_read_in_microseconds() -> None:
    """wrk writes times in any unit; figures are in microseconds."""
    assert read_wrk(WRK) == {"total": 200000, "rps": 50000.25, "p50_us": 980, "p99_us": 2500}


def test_h2load_counts_answered_requests() -> None:
    """Requests that were started but not answered in time count for nothing."""
    assert read_h2load(H2LOAD) == {"total": 320004, "rps": 80000.5}


@pytest.mark.parametrize(
    "line", ["Socket errors: connect 0, read 3, write 0, timeout 0", "Non-2xx or 3xx responses: 7"]
)
def test_a_load_with_errors_is_no_measurement(line: str) -> None:
    """A load with errors is no measurement."""
    with pytest.raises(ValueError, match="errors under load"):
        read_wrk(WRK + line)


def test_weft_is_compared_with_the_better_envoy() -> None:
    """weft is compared with the better of Envoy's configurations."""
    peers = {"weft": {"rps": 300.0}, "envoy": {"rps": 100.0}, "envoy-h2": {"rps": 150.0}}
    assert ratio(Goal("rps", 2.5, more_is_better=True), peers) == 2.0


def test_the_latency_of_no_proxy_at_all_is_taken_off_first() -> None:
    """Of both latencies that without any proxy is taken off first."""
    peers = {"weft": {"p50_us": 150.0}, "envoy": {"p50_us": 250.0}, "direct": {"p50_us": 50.0}}
    assert ratio(Goal("p50_us", 0.5, over_direct=True), peers) == 0.5


def test_a_goal_met_beside_a_saturated_envoy_says_so() -> None:
    """A goal that is met only because Envoy cannot keep up with the rate says so, and no other."""
    envoy = {"p50_us": 900.0, "p99_us": 900.0}
    weft, direct = {"p50_us": 300.0, "p99_us": 300.0}, {"p50_us": 100.0}
    peers = [{"weft": weft, "direct": direct, "envoy-h2": envoy | {"rps": rps}} for rps in (5000.0, 4633.0)]
    verdicts = [[row.split(" | ")[-1] for row in table({"rate-5000": of}).splitlines()[2:]] for of in peers]
    assert verdicts == [["met |"] * 2, ["met, as Envoy is saturated: 4,633 requests/s |"] * 2]


def test_every_goal_has_its_row_and_a_missed_one_says_so() -> None:
    """Every goal of a measured cell has its row, and a missed one says so."""
    cpu = {"weft": {"cpu_us_per_request": 50.0}, "envoy": {"cpu_us_per_request": 100.0}}
    rows = table({cell: cpu for cell in GOALS if cell == "h1-c16"}).splitlines()
    columns = ["h1-c16", "CPU µs a request", "50", "100", NONE, NONE, f"0.50 {TIMES}", f"≤ 0.4 {TIMES}", "**missed**"]
    assert rows[2:] == ["| " + " | ".join(columns) + " |"]
