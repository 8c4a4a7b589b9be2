"""tap and top against an API server that streams."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from textual.widgets import DataTable, Static
from weft import taps
from weft.errors import ApiError, Failure
from weft.resources import Resource
from weft.screen import TopScreen
from weft.views.exchange import Exchange
from weft.views.top import Top

TAP = "/apis/tap.weft.dev/v1alpha1/watch/namespaces/teahouse"
EVENT = {
    "id": 1,
    "started_us": 1_700_000_000_000_000,
    "direction": "inbound",
    "source": "10.1.0.5:43210",
    "tls": "true",
    "peer_identity": "spiffe://cluster.local/ns/teahouse/sa/crowd",
    "method": "GET",
    "path": "/api/order",
    "status": 200,
    "grpc_status": -1,
    "result": "success",
    "latency_us": 2000,
    "pod": "counter-6b",
    "namespace": "teahouse",
}


class Tap:
    """An API server that answers every tap alike; `paths` are those it was asked for."""

    def __init__(self) -> None:
        self.status = 200
        self.lines: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.whole = True
        """Or the connection ends in the middle of the stream."""
        self.before: list[Callable[[], None]] = []
        """What happens before each answer but the first."""
        self.open = threading.Event()
        self.open.set()

    def refuse(self, status: int, message: str) -> None:
        """Answer with a Kubernetes Status."""
        self.status, self.lines = status, [{"kind": "Status", "message": message}]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tap prints local time; here that is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def tap(point_at: Callable[[str], None]) -> Iterator[Tap]:
    """The server, which is the current context's cluster."""
    state = Tap()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if state.paths and state.before:
                state.before.pop(0)()
            state.paths.append(self.path)
            self.send_response(state.status)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in state.lines:
                data = json.dumps(line).encode() + b"\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.write(b"0\r\n\r\n" if state.whole else b"")
            self.wfile.flush()
            state.open.wait(10)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    point_at("http://{}:{}".format(*server.server_address[:2]))
    yield state
    state.open.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_tap_writes_one_object_a_line(weft: Any, tap: Tap) -> None:
    """NDJSON on stdout; the stream's first line is about pods, not a request."""
    tap.lines = [{"status": {"pods": 3, "unmeshed": 0}}, EVENT, EVENT | {"id": 2}]
    result = weft("viz", "tap", "deploy/counter", "-o", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [1, 2]
    assert [f"{TAP}/deployments/counter/tap"] == tap.paths


@pytest.mark.parametrize("output", ["table", "wide", "json"])
def test_tap_prints_a_line_a_request(weft: Any, tap: Tap, same: Callable[[str, str], None], output: str) -> None:
    """Who asked, what, and what came of it."""
    tap.lines = [
        EVENT,
        EVENT | {"id": 2, "status": 500, "result": "failure", "tls": "no_identity", "peer_identity": ""},
    ]
    same(f"viz-tap-{output}.txt", weft("viz", "tap", "deploy/counter", "-o", output).stdout)


def test_tap_tells_what_it_leaves_out(weft: Any, tap: Tap) -> None:
    """On stderr, where lines are missing; JSON says it in each object."""
    tap.lines = [EVENT, EVENT | {"skipped": 4}]
    assert weft("viz", "tap", "deploy/counter").stderr == (
        "4 requests are left out here: more than --max-rps a second\n"
    )
    assert weft("viz", "tap", "deploy/counter", "-o", "json").stderr == ""


def test_a_profile_learned_from_requests(weft: Any, tap: Tap, same: Callable[[str, str], None]) -> None:
    """Ids are parameters; what no profile can hold is left out, and told."""
    command = ("viz", "profile", "counter", "--tap", "deploy/counter", "--duration", "10s")
    tap.lines = [EVENT, EVENT | {"path": "/teas/17"}, EVENT | {"path": "/teas/18"}]
    result = weft(*command)
    assert (result.exit_code, result.stderr) == (0, "\n2 routes from 3 requests\n")
    same("viz-profile.txt", result.stdout)

    tap.lines.append(EVENT | {"method": "PROPFIND"})
    left = "1 of them left out (other methods, no path, too many or too long ones)"
    assert weft(*command).stderr == f"\n2 routes from 4 requests, {left}\n"
    tap.lines = [EVENT | {"method": "OPTIONS", "path": "*"}]
    assert "1 requests came, and none has a method and a path that a route can have" in weft(*command).stderr


def test_tap_goes_on_when_its_stream_broke(weft: Any, tap: Tap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tap or the API server restarts: each thing that fails is told once, and nothing is replayed twice."""

    def restarting() -> None:
        tap.refuse(503, "service unavailable")
        tap.whole = True

    def back() -> None:
        tap.status, tap.lines = 200, [EVENT | {"id": 2}]

    monkeypatch.setattr("weft.taps.AGAIN_SECONDS", 0)
    tap.before = [restarting, lambda: None, back]
    tap.lines, tap.whole = [EVENT], False
    result = weft("viz", "tap", "deploy/counter", "--replay", "5", "-o", "json")
    assert (result.exit_code, [json.loads(line)["id"] for line in result.stdout.splitlines()]) == (0, [1, 2])
    (broke, away) = result.stderr.splitlines()
    assert broke.endswith(f" broke: it ended in the middle. {taps.AGAIN}")
    assert away == f"the tap API is not available: service unavailable. {taps.AGAIN}"
    assert [path.partition("?")[2] for path in tap.paths] == ["replay=5", "", "", ""]


def test_a_tap_that_broke_ends_when_its_time_is_over(weft: Any, tap: Tap) -> None:
    """Also while nobody answers."""
    tap.lines, tap.whole = [EVENT], False
    result = weft("viz", "tap", "deploy/counter", "--duration", "1s")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)


def test_tap_ends_after_its_limit(weft: Any, tap: Tap) -> None:
    """Also when the server would go on."""
    tap.open.clear()
    tap.lines = [EVENT] * 3
    result = weft("viz", "tap", "deploy/counter", "--limit", "2")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 2)
    assert [f"{TAP}/deployments/counter/tap?limit=2"] == tap.paths


def test_tap_ends_after_its_duration(weft: Any, tap: Tap) -> None:
    """A quiet stream is told."""
    tap.open.clear()
    result = weft("viz", "tap", "ns/teahouse", "--duration", "1s")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no request matched\n")
    assert [f"{TAP}/namespaces/teahouse/tap"] == tap.paths


def test_tap_sends_its_filters(weft: Any, tap: Tap) -> None:
    """Each as the API spells it."""
    weft(
        *("viz", "tap", "po", "a", "--method", "GET", "--path", "/a", "--authority", "x", "--status", "5xx"),
        *("--min-latency", "200ms", "--header", "a=b", "--identity", "spiffe://x", "--to", "deploy/kettle"),
        *("--to-namespace", "b", "--direction", "inbound", "--max-rps", "5"),
    )
    path, _, query = tap.paths[0].partition("?")
    expected = {
        *("method=GET", "path=%2Fa", "authority=x", "status=5xx", "min_latency=200ms", "header=a%3Db"),
        *("identity=spiffe%3A%2F%2Fx", "to=deployment%2Fkettle", "to_namespace=b", "direction=inbound", "max_rps=5"),
    }
    assert (f"{TAP}/pods/a/tap", expected) == (path, set(query.split("&")))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"pods": 0, "unmeshed": 2}, "no pod of deployment/counter has a proxy yet"),
        ({"pods": 1, "unmeshed": 2}, "2 pods of deployment/counter have no proxy"),
        ({"pods": 1, "unmeshed": 0, "failing": {"web-1": "refused"}}, "cannot tap web-1: refused\n"),
    ],
)
def test_tap_tells_of_pods_it_cannot_see(weft: Any, tap: Tap, status: dict[str, int], expected: str) -> None:
    """On stderr, at once, and once only."""
    tap.lines = [{"status": status}] * 2
    lines = weft("viz", "tap", "deploy/counter").stderr
    assert (lines.startswith(expected), lines.count(expected)) == (True, 1)


def test_tap_without_the_right_says_what_grants_it(weft: Any, tap: Tap, same: Callable[[str, str], None]) -> None:
    """The commands for an administrator, with the user's own name."""
    tap.refuse(403, 'deployments.tap.weft.dev "counter" is forbidden: User "ann" cannot watch resource')
    result = weft("viz", "tap", "deploy/counter")
    assert (result.exit_code, result.stdout) == (1, "")
    same("tap-forbidden.stderr", result.stderr)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (404, "404 page not found", "weft: the tap API is not there: viz is not"),
        (404, "the server could not find the requested resource", "weft: the tap API is not there: viz is not"),
        (404, 'deployments "counter" not found', 'weft: deployments "counter" not found'),
        (503, "service unavailable", "weft: the tap API is not available: service unavailable. See `weft check`."),
    ],
)
def test_tap_refused(weft: Any, tap: Tap, status: int, message: str, expected: str) -> None:
    """One line that tells viz missing from a workload missing."""
    tap.refuse(status, message)
    result = weft("viz", "tap", "deploy/counter")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert result.stderr.startswith(expected)


def test_tap_needs_a_name() -> None:
    """Of every kind but namespaces."""
    with pytest.raises(Failure, match="tap needs one deployment"):
        taps.path("teahouse", Resource("deployment"))


def test_refusal_without_a_user() -> None:
    """The place where the name goes is marked."""
    assert "--user=NAME" in taps.explained(ApiError(403, "no"), f"{TAP}/tap").format_message()


def test_top_once(weft: Any, tap: Tap, same: Callable[[str, str], None]) -> None:
    """Piped, it prints one table when the time is over."""
    tap.open.clear()
    tap.lines = [EVENT, EVENT | {"status": 500, "result": "failure", "latency_us": 9000}]
    result = weft("viz", "top", "deploy/counter", "--once", "--duration", "1s")
    assert (result.exit_code, result.stderr) == (0, "")
    same("viz-top-table.txt", result.stdout)
    assert [f"{TAP}/deployments/counter/tap?max_rps=10000"] == tap.paths


def test_a_failed_probe_is_shown_like_any_request(weft: Any, tap: Tap) -> None:
    """The mesh sends the kubelet's probes only when they fail, which is just what one looks for."""
    tap.lines = [
        EVENT | {"route": "[probe]", "path": "/ready", "status": 503, "peer_identity": "", "tls": "no_identity"}
    ]
    line = weft("viz", "tap", "deploy/counter", "-o", "wide").stdout
    assert line.split("  ")[2:5] == [" 10.1.0.5 → counter-6b", "GET /ready", "503"]
    assert "route=[probe]" in line
    row = weft("viz", "top", "deploy/counter", "--once").stdout.splitlines()[1]
    assert row.split()[:4] == ["10.1.0.5", "counter-6b", "GET", "/ready"]


def test_top_json(weft: Any, tap: Tap, same: Callable[[str, str], None]) -> None:
    """One document; what was left out is told."""
    tap.lines = [EVENT, EVENT | {"skipped": 4}]
    result = weft("viz", "top", "deploy/counter", "-o", "json")
    same("viz-top-json.txt", result.stdout)
    assert result.stderr.startswith("4 requests are left out")


def test_top_without_requests(weft: Any, tap: Tap) -> None:
    """The heading alone, and why."""
    result = weft("viz", "top", "deploy/counter", "--once")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert result.stderr == "no request came while top was looking\n"


async def test_top_on_a_terminal() -> None:
    """The same rows; keys sort them, put sources together and count anew; paths are shown as they are."""
    slow = EVENT | {"path": "/[red]", "latency_us": 9_000_000, "result": "failure"}
    events = [
        EVENT,
        EVENT | {"skipped": 4},
        EVENT | {"peer_identity": "spiffe://cluster.local/ns/teahouse/sa/ann"},
        slow,
    ]
    done = threading.Event()

    def read(tell: Callable[[str], None]) -> Iterator[dict[str, Any]]:
        tell("1 pod has no proxy")
        yield from events
        done.wait(10)

    screen = TopScreen(read)
    async with screen.run_test() as pilot:
        while len(paths(screen)) < 3:
            await pilot.pause(0.05)
            screen.redraw()
        assert paths(screen) == ["/api/order", "/api/order", "/[red]"]
        await pilot.press("f")
        assert paths(screen) == ["/[red]", "/api/order", "/api/order"]
        await pilot.press("c", "s")
        assert [row[3] for row in rows(screen)] == ["3", "1"]
        assert str(screen.query_one("#notes", Static).render()) == (
            "1 pod has no proxy\n4 requests are left out: too many a second (--max-rps) or paths"
        )
        await pilot.press("r")
        assert rows(screen) == []
        done.set()


def rows(screen: TopScreen) -> list[list[str]]:
    """What the table holds."""
    table = screen.query_one(DataTable)
    return [[cell.plain for cell in table.get_row_at(index)] for index in range(table.row_count)]


def paths(screen: TopScreen) -> list[str]:
    """The column Path."""
    return [row[3] for row in rows(screen)]


async def test_top_ends_with_what_ended_its_events() -> None:
    """The failure is there to be told when the screen is gone."""

    def read(_: Callable[[str], None]) -> Iterator[dict[str, Any]]:
        raise Failure("the stream broke")
        yield

    screen = TopScreen(read)
    async with screen.run_test() as pilot:
        while screen.is_running:
            await pilot.pause(0.05)
    assert str(screen.failure) == "the stream broke"


def test_what_is_denied_or_cancelled_is_not_judged() -> None:
    """As in stat; with nothing else, no rate is known."""
    totals = Top()
    for result in ("denied", "cancelled"):
        totals.add(Exchange.parse(EVENT | {"result": result}))
    ((_, tally),) = totals.rows()
    assert (tally.count, tally.denied, tally.cancelled, tally.success) == (2, 1, 1, None)
    for result in ("success", "failure"):
        totals.add(Exchange.parse(EVENT | {"result": result}))
    assert totals.rows()[0][1].success == 0.5


def test_top_orders() -> None:
    """Sources together are counted together."""
    totals = Top()
    for account in ("ann", "bob"):
        totals.add(Exchange.parse(EVENT | {"peer_identity": f"spiffe://cluster.local/ns/x/sa/{account}"}))
    ((key, tally),) = totals.rows(sources=False)
    assert (key[0], tally.count, tally.success) == ("", 2, 1.0)
