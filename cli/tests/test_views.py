"""Tables, lines and JSON from answers, and the commands that print them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft.resources import KINDS
from weft.views import metrics, table
from weft.views.exchange import Exchange, line
from weft.views.top import MAX_ROWS, Top, answer, text
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import namespace

STAT: Any = [
    {
        "namespace": "teahouse",
        "kind": "deployment",
        "name": "kettle",
        "meshed": {"pods": 1, "running": 1},
        "success": 0.8701,
        "rps": 1.25,
        "latency_seconds": {"p50": 0.0004, "p95": 0.0123, "p99": None},
        "tcp_open_connections": 3,
        "tcp_read_bytes_per_second": 1024.25,
        "tcp_written_bytes_per_second": 0,
        "totals": {"success": 87, "failure": 13, "cancelled": 0},
        "status": "",
        "note": "",
    },
    {
        "namespace": "teahouse",
        "kind": "deployment",
        "name": "counter",
        "meshed": {"pods": 0, "running": 1},
        "success": None,
        "rps": None,
        "latency_seconds": None,
        "tcp_open_connections": None,
        "tcp_read_bytes_per_second": None,
        "tcp_written_bytes_per_second": None,
        "totals": None,
        "status": "",
        "note": "not meshed: inject it",
    },
]
EDGES: Any = [
    {
        "src": {"namespace": "teahouse", "kind": "deployment", "name": "counter"},
        "dst": {"namespace": "teahouse", "kind": "deployment", "name": "kettle"},
        "client_id": "spiffe://cluster.local/ns/teahouse/sa/counter",
        "server_id": "spiffe://cluster.local/ns/teahouse/sa/kettle",
        "tls": "true",
        "reason": "",
        "rps": 1.0,
        "success": 0.85,
        "tcp_open_connections": 1,
    },
    {
        "src": {"namespace": "teahouse", "kind": "deployment", "name": "counter"},
        "dst": {"namespace": "", "kind": "", "name": ""},
        "client_id": "",
        "server_id": "",
        "tls": "no_identity",
        "reason": "",
        "rps": None,
        "success": None,
        "tcp_open_connections": 1,
    },
]
ROUTES: Any = [
    {
        "route": "GET /api/order",
        "service": {"namespace": "teahouse", "kind": "service", "name": "counter"},
        "success": 1.0,
        "rps": 12.0,
        "latency_seconds": {"p50": 0.001, "p95": 0.002, "p99": 0.25},
    },
    {
        "route": "",
        "service": {"namespace": "teahouse", "kind": "service", "name": "menu"},
        "success": 0.9999999,
        "rps": 0.04,
        "latency_seconds": None,
    },
    {
        "route": "",
        "service": {"namespace": "garden", "kind": "service", "name": "menu"},
        "success": 1.0,
        "rps": 0.05,
        "latency_seconds": None,
    },
]
SIGNALS = {"success": 0.5, "rps": 4.0, "latency_seconds": {"p50": 0.001, "p95": 0.002, "p99": 0.25}}
INBOUND: Any = [
    SIGNALS
    | {"dst": EDGES[0]["dst"], "route": "", "client_id": EDGES[0]["client_id"], "tls": "true", "denied_rps": 0.0},
    SIGNALS | {"dst": EDGES[0]["dst"], "route": "brew", "client_id": "", "tls": "no_identity", "denied_rps": 1.5},
]
OUTBOUND: Any = [
    SIGNALS
    | {"src": EDGES[0]["src"], "service": ROUTES[0]["service"], "route": "brew", "backend": EDGES[0]["dst"]}
    | {"retries_per_second": 1.25, "timeouts_per_second": 0.0},
    SIGNALS
    | {"src": EDGES[0]["src"], "service": ROUTES[2]["service"], "route": "brew"}
    | {"backend": {"namespace": "garden", "kind": "deployment", "name": "kettle"}}
    | {"retries_per_second": 0.0, "timeouts_per_second": 0.01},
    SIGNALS
    | {"src": EDGES[0]["src"], "service": EDGES[1]["dst"], "route": "", "backend": EDGES[1]["dst"]}
    | {"retries_per_second": None, "timeouts_per_second": None},
]
EVENT = {
    "id": 7,
    "started_us": 1_700_000_000_123_456,
    "direction": "inbound",
    "source": "10.1.0.5:43210",
    "destination": "10.1.0.9:8080",
    "tls": "true",
    "peer_identity": "spiffe://cluster.local/ns/teahouse/sa/crowd",
    "method": "GET",
    "scheme": "http",
    "authority": "counter",
    "path": "/api/order?tea=oolong",
    "version": "HTTP/1.1",
    "status": 500,
    "grpc_status": -1,
    "result": "failure",
    "latency_us": 12_345,
    "response_bytes": 48,
    "pod": "counter-6b",
    "namespace": "teahouse",
}
GRPC = EVENT | {
    "direction": "DIRECTION_OUTBOUND",
    "started_us": "1700000000123456",
    "tls": "no_identity",
    "peer_identity": "",
    "status": 200,
    "grpc_status": 13,
    "result": "RESULT_FAILURE",
    "latency_us": "150",
    "dst_workload": "kettle",
    "dst_namespace": "teahouse",
    "path": "/teahouse.Kettle/BrewOolong",
    "error": "E104 no ready endpoints of svc/kettle",
}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tap prints local time; here that is UTC."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_stat(same: Any) -> None:
    """The eight columns, unknown numbers as `-`."""
    same("stat.txt", metrics.stat_table(STAT, prefix=False, namespaces=False, wide=False) + "\n")


def test_stat_wide(same: Any) -> None:
    """With namespaces, kinds, a pod's status and bytes."""
    rows = [row | {"kind": "pod", "status": "Running"} for row in STAT]
    same("stat-wide.txt", metrics.stat_table(rows, prefix=True, namespaces=True, wide=True) + "\n")


def test_notes_name_each_reason_once() -> None:
    """Why there are no numbers."""
    rows: Any = [STAT[1] | {"name": name} for name in "abcdefg"]
    expected = [
        "deployment/a, deployment/b, deployment/c, deployment/d, deployment/e and 2 more: not meshed: inject it"
    ]
    assert expected == metrics.notes(rows)


@pytest.mark.parametrize("wide", [False, True])
def test_edges(same: Any, wide: bool) -> None:
    """Secured, or the reason why not; identities when wide."""
    same(f"edges{'-wide' if wide else ''}.txt", metrics.edges_table(EDGES, wide) + "\n")


def test_routes(same: Any) -> None:
    """What no route names is [default]; Services of other namespaces have theirs beside them."""
    same("routes.txt", metrics.routes_table(ROUTES, "teahouse") + "\n")


def test_inbound(same: Any) -> None:
    """By route and client; clients without identity say why there is no mutual TLS; what policies refused."""
    same("stat-inbound.txt", metrics.inbound_table(INBOUND, namespaces=False) + "\n")


def test_outbound(same: Any) -> None:
    """By Service, route and backend, with what the proxy did about failures."""
    same("stat-outbound.txt", metrics.outbound_table(OUTBOUND, namespaces=True) + "\n")


@pytest.mark.parametrize("wide", [False, True])
def test_tap(same: Any, wide: bool) -> None:
    """One line a request, in both spellings of enums and numbers that JSON of protobuf has."""
    lines = [line(Exchange.parse(event), wide) for event in (EVENT, GRPC, {})]
    same(f"tap{'-wide' if wide else ''}.txt", "\n".join(lines[:2]) + "\n")


def test_tap_tells_what_a_draft_would_deny() -> None:
    """The request was let in, and would not be, were policies in audit enforced."""
    audited = line(Exchange.parse(EVENT | {"audited": "policy teahouse/draft"}))
    assert audited == f"{line(Exchange.parse(EVENT))}  audit: would be denied by policy teahouse/draft"


def test_top(same: Any) -> None:
    """Counts by source, destination, method and path without its query."""
    totals = Top()
    for event in (EVENT, EVENT | {"path": "/api/order", "result": "success", "latency_us": 900}, GRPC):
        totals.add(Exchange.parse(event))
    same("top.txt", text(totals) + "\n")
    same("top.json", table.document(answer(totals)) + "\n")


def test_top_is_bounded() -> None:
    """Paths may hold anything: beyond the limit requests are counted, not shown."""
    totals = Top()
    for number in range(MAX_ROWS + 5):
        totals.add(Exchange.parse(EVENT | {"path": f"/{number}"}))
    assert (len(totals.rows()), totals.left_out) == (MAX_ROWS, 5)


results = st.sampled_from(["success", "failure", "cancelled"])


@given(st.lists(st.tuples(results, st.integers(0, 10**9)), min_size=1))
def test_top_agrees_with_its_events(found: list[tuple[str, int]]) -> None:
    """Count, best, worst and success are those of the events, in whatever order."""
    totals = Top()
    for result, latency in found:
        totals.add(Exchange.parse(EVENT | {"result": result, "latency_us": latency}))
    (_, tally), *others = totals.rows()
    judged = [result for result, _ in found if result != "cancelled"]
    assert others == []
    assert (len(found), min(f[1] for f in found) / 1e6, max(f[1] for f in found) / 1e6, found[-1][1] / 1e6) == (
        tally.count, tally.best, tally.worst, tally.last,
    )  # fmt: skip
    assert tally.success == (judged.count("success") / len(judged) if judged else None)


@pytest.mark.parametrize(
    ("number", "expected"), [(None, "-"), (0.0, "0.0"), (0.0001, "<0.1"), (0.049, "<0.1"), (0.05, "0.1"), (3.25, "3.2")]
)
def test_what_is_seldom_is_not_shown_as_nothing(number: float | None, expected: str) -> None:
    """0.0 means that nothing came."""
    assert (table.rate(number), table.bytes_rate(number)) == (
        ("-", "-") if number is None else (f"{expected}rps", f"{expected}B/s")
    )


@pytest.mark.parametrize(("ratio", "expected"), [(None, "-"), (1.0, "100.00%"), (0.999999, "99.99%"), (0.0, "0.00%")])
def test_percent_never_rounds_a_failure_away(ratio: float | None, expected: str) -> None:
    """100.00% means that nothing failed."""
    assert expected == table.percent(ratio)


def test_wide_characters_keep_columns_aligned() -> None:
    """A tea's name in Chinese takes two columns a character, an accent none."""
    shown = table.table(["NAME", "RPS"], [["烏龍", "1"], ["caf\u0065\u0301", "22"]])
    assert shown.splitlines() == ["NAME   RPS", "烏龍     1", "caf\u0065\u0301    22"]


def test_narrow_terminals_cut_the_widest_names() -> None:
    """Numbers stay whole."""
    assert table.fitted([30, 14, 9], left=2, available=39) == [12, 12, 9]
    assert table.fitted([20, 9], left=1, available=80) == [20, 9]
    assert table.fitted([20, 9], left=1, available=5) == [12, 9]


@given(st.text(max_size=20), st.integers(1, 20))
def test_a_cut_text_fits(text_: str, available: int) -> None:
    """And one that fits is left as it is."""
    shown = table.cut(text_, available)
    assert table.width(shown) <= available
    assert shown == text_ or shown.endswith("…")


# The commands, against web's public API on a socket

VIEWS: dict[str, tuple[str, Any]] = {
    "stat": ("stat", STAT),
    "edges": ("edges", EDGES),
    "routes": ("routes", ROUTES),
    "stat-inbound": ("inbound", INBOUND),
    "stat-outbound": ("outbound", OUTBOUND),
}
QUERY = "kind=deployment&namespace=teahouse&window=60s"
ALL = [
    (view, output)
    for view in VIEWS
    for output in ("table", "wide", "json")
    if output != "wide" or view in ("stat", "edges")
]


@pytest.mark.usefixtures("forwarded")
@pytest.mark.parametrize(("view", "output"), ALL)
def test_every_view(weft: Any, answers: Any, same: Any, view: str, output: str) -> None:
    """As a table, wide, and as the API's own JSON."""
    path, rows = VIEWS[view]
    answers[f"/api/v1/{path}?{QUERY}"] = (200, {"window_seconds": 60, "rows": rows, "warnings": []})
    result = weft("viz", view, "deploy", "-o", output)
    assert result.exit_code == 0
    same(f"viz-{view}-{output}.txt", result.stdout)


@pytest.mark.usefixtures("forwarded")
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"deployment"}))
def test_stat_of_other_kinds(weft: Any, answers: Any, same: Any, kind: str) -> None:
    """Service accounts and namespaces have pods, Services have clients only, pods a status when wide; all others are
    workloads."""
    row = STAT[0] | {"kind": kind, "status": "Running" if kind == "pod" else ""}
    rows = [row | ({"meshed": None, "tcp_open_connections": None} if kind == "service" else {})]
    answers[f"/api/v1/stat?kind={kind}&namespace=%2A&window=60s"] = (
        200,
        {"window_seconds": 60, "rows": rows, "warnings": []},
    )
    name = kind if kind in ("namespace", "pod", "service", "serviceaccount") else "workload"
    same(f"viz-stat-{name}.txt", weft("viz", "stat", kind, "-A", "-o", "wide").stdout)


@pytest.mark.usefixtures("forwarded")
@pytest.mark.parametrize(("view", "expected"), [
    ("edges", "no traffic from or to deployment in namespace teahouse within the last 60s\n"),
    ("routes", "deployment sent no HTTP requests in namespace teahouse within the last 60s\n"),
    ("stat-inbound", "deployment received no HTTP requests in namespace teahouse within the last 60s\n"),
    ("stat-outbound", "deployment sent no HTTP requests in namespace teahouse within the last 60s\n"),
    ("stat", "no deployments in namespace teahouse\n"),
])  # fmt: skip
def test_empty_views_say_why(weft: Any, kube: FakeKube, answers: Any, view: str, expected: str) -> None:
    """On stderr; nothing was asked that could fail."""
    kube.put(namespace("teahouse"))
    answers[f"/api/v1/{VIEWS[view][0]}?{QUERY}"] = (200, {"window_seconds": 60, "rows": [], "warnings": []})
    result = weft("viz", view, "deploy")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", expected)


@pytest.mark.usefixtures("forwarded")
@pytest.mark.parametrize(
    ("options", "query", "said"),
    [
        (["-l", "app=web"], "selector=app%3Dweb&window=60s", "with labels app=web"),
        (
            ["--to", "svc/db"],
            "to=service%2Fdb&window=60s",
            "with traffic to service/db within the last 60s",
        ),
        (
            ["--to", "svc/db", "--to-namespace", "shop"],
            "to=service%2Fdb&to_namespace=shop&window=60s",
            "with traffic to service/db of namespace shop within the last 60s",
        ),
        (
            ["--from-namespace", "shop"],
            "from_namespace=shop&window=60s",
            "with traffic from namespace shop within the last 60s",
        ),
    ],
)
def test_none_that_is_wanted_is_not_none_at_all(
    weft: Any, kube: FakeKube, answers: Any, *, options: list[str], query: str, said: str
) -> None:
    """There may be Deployments, but none of them has such labels or traffic."""
    kube.put(namespace("teahouse"))
    asked = f"kind=deployment&namespace=teahouse&{query}"
    answers[f"/api/v1/stat?{asked}"] = (200, {"window_seconds": 60, "rows": [], "warnings": []})
    result = weft("viz", "stat", "deploy", *options)
    assert (result.exit_code, result.stderr) == (0, f"no deployments in namespace teahouse {said}\n")


@pytest.mark.usefixtures("forwarded")
@pytest.mark.parametrize(
    ("before", "asked"),
    [((), "%2A"), (("-n", "shop"), "shop")],
)
def test_namespaces_are_in_no_other(weft: Any, answers: Any, before: tuple[str, ...], asked: str) -> None:
    """The context's is no bound to them; one that is given is."""
    row = STAT[0] | {"kind": "namespace", "namespace": "shop", "name": "shop"}
    for path, rows in (("stat", [row]), ("edges", EDGES)):
        found = {"window_seconds": 60, "rows": rows, "warnings": []}
        answers[f"/api/v1/{path}?kind=namespace&namespace={asked}&window=60s"] = (200, found)
    assert weft(*before, "viz", "stat", "ns").stdout.splitlines()[1].startswith("shop ")
    assert weft(*before, "viz", "edges", "ns").stdout.splitlines()[1].startswith("counter ")


def test_a_latency_that_is_longer_than_proxies_measure_says_so() -> None:
    """It is not shown as the most that they measure."""
    latency = {"p50": 0.5, "p95": 10.0, "p99": 10.0, "at_least": ["p99"]}
    shown = metrics.stat_table([STAT[0] | {"latency_seconds": latency}], prefix=False, namespaces=False, wide=False)
    assert shown.split()[-4:-1] == ["500ms", "10000ms", ">10000ms"]


@pytest.mark.usefixtures("forwarded")
@pytest.mark.parametrize("view", ["stat", "routes"])
def test_numbers_over_less_than_the_window_say_so(weft: Any, answers: Any, view: str) -> None:
    """Prometheus began within it, so there is no more to tell; that is no failure."""
    path, rows = VIEWS[view]
    answers[f"/api/v1/{path}?{QUERY}"] = (200, {"window_seconds": 41, "rows": rows, "warnings": []})
    result = weft("viz", view, "deploy")
    told = "Prometheus has seen only 41 s of the 60s: numbers are over these"
    assert (result.exit_code, told in result.stderr) == (0, True)


@pytest.mark.usefixtures("forwarded")
def test_an_empty_view_of_one_workload_says_what_it_lacks(weft: Any, kube: FakeKube, answers: Any) -> None:
    """A proxy, say; or that there is no such workload, or no such namespace."""
    asked = "kind=deployment&namespace=teahouse&name=kettle&window=60s"
    answers[f"/api/v1/edges?{asked}"] = (200, {"window_seconds": 60, "rows": [], "warnings": []})
    assert weft("viz", "edges", "deploy/kettle").stderr.startswith("weft: there is no namespace teahouse.")
    kube.put(namespace("teahouse"))
    path = f"/api/v1/stat?{asked}"
    answers[path] = (200, {"window_seconds": 60, "rows": [STAT[1] | {"name": "kettle"}], "warnings": []})
    nothing = "no traffic from or to deployment/kettle in namespace teahouse within the last 60s\n"
    assert weft("viz", "edges", "deploy/kettle").stderr == f"{nothing}deployment/kettle: not meshed: inject it\n"
    why = "there is no deployment 'kettle' in namespace teahouse"
    answers[path] = (200, {"window_seconds": 60, "rows": [], "warnings": [why]})
    result = weft("viz", "edges", "deploy/kettle")
    assert (result.exit_code, result.stderr) == (
        1,
        f"weft: {why}. `weft viz stat deployment -A` shows what there is.\n",
    )
