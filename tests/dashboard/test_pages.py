"""What people see: each page's promise, in a real browser."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click
import pytest
from fake_mesh import GRAFANA, FakeMesh
from playwright.sync_api import Browser, Page, expect
from weft import resources
from weft.main import cli

AXE = Path(__file__).parents[2] / "services/web/dashboard/node_modules/axe-core/axe.min.js"
SHOTS = os.environ.get("SCREENSHOTS", "")
PAGES = {
    "home": ("/", "deployment/kettle in teahouse"),
    "map": ("/map", "teahouse"),
    "map-namespace": ("/map/teahouse", "kettle"),
    "namespace": ("/namespaces/teahouse", "loyalty"),
    "workload": ("/namespaces/teahouse/deployment/menu", "menu-5d4-0"),
    "unmeshed": ("/namespaces/teahouse/deployment/loyalty", "not in the mesh"),
    "pod": ("/namespaces/teahouse/pod/menu-5d4-0", "Called by"),
    "tap": ("/tap?namespace=teahouse&resource=deploy/kettle&run=1", "/BrewOolong"),
    "top": ("/top?namespace=teahouse&resource=deploy/kettle&run=1", "/BrewOolong"),
    "identity": ("/identity", "the client is not in the mesh"),
    "check": ("/check", "Pods of identity"),
    "nowhere": ("/nowhere", "There is no such page"),
}


def violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical."""
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['html']}" for one in grave for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_for_all_people(page: Page, name: str, scheme: Any) -> None:
    """It shows what it is about, by its address alone, and axe-core finds nothing serious, light and dark."""
    page.emulate_media(color_scheme=scheme)
    path, text = PAGES[name]
    page.goto(path)
    expect(page.get_by_text(text).locator("visible=true").first).to_be_visible(timeout=15_000)
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}-{scheme}.png"), full_page=True)
    assert violations(page) == []


def test_home_names_the_cause_before_what_follows(page: Page) -> None:
    """kettle fails; menu and counter fail because of whom they call. Each leads to its page."""
    page.goto("/")
    problems = page.locator(".problems li").filter(has_text="teahouse")
    expect(problems).to_have_count(4, timeout=15_000)
    assert [re.sub(r"deployment/(\w+) .*", r"\1", text) for text in problems.get_by_role("link").all_inner_texts()] == [
        "kettle",
        "menu",
        "counter",
        "counter",
    ]
    expect(problems.first).to_contain_text("it answers HTTP 500 itself")
    expect(problems.last).to_contain_text("policies denied 3 calls")
    problems.first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="kettle", level=1)).to_be_visible()


def test_home_lists_namespaces_without_pods_apart(page: Page) -> None:
    """They have nothing to say, and a cluster has several."""
    page.goto("/")
    expect(page.get_by_text("Without running pods: weft")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("row").filter(has_text="teahouse")).to_have_count(1)
    expect(page.get_by_role("row").filter(has_text="weft")).to_have_count(0)


def test_a_workload_shows_endpoints_that_are_left_out(page: Page) -> None:
    """Of what it calls, and on the Service's page by client; why, too."""
    for path, other in (("deployment/menu", "kettle"), ("service/kettle", "menu")):
        page.goto(f"/namespaces/teahouse/{path}")
        row = page.get_by_role("row", name=re.compile(f"^{other} 1 1 kettle-5d4-0 3 . failures in a row$"))
        expect(row).to_be_visible(timeout=15_000)
    page.goto("/namespaces/teahouse/deployment/kettle")
    breakers = page.get_by_role("table", name="Pods: the endpoints").get_by_text("open at menu")
    expect(breakers).to_have_count(1, timeout=15_000)


def test_charts_mark_rollouts(page: Page) -> None:
    """The version that began within the time that they show."""
    page.goto("/namespaces/teahouse/deployment/menu")
    expect(page.get_by_text(re.compile("Rollouts .*revision 7: menu-5d4"))).to_be_visible(timeout=15_000)
    for chart in page.locator("[data-markers]").all():
        (place,) = map(int, (chart.get_attribute("data-markers") or "").split())
        box = chart.bounding_box()
        assert box
        assert 0.9 * box["width"] < place <= box["width"]  # it is a moment old


WRITTEN = """(chart) => {
  const canvas = chart.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, 50 * devicePixelRatio, canvas.height);
  const ink = getComputedStyle(chart).color.match(/\\d+/g).map(Number);
  const far = [];
  let seen = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] < 200) continue;
    seen += 1;
    if (ink.some((value, i) => Math.abs(value - data[at + i]) > 12)) far.push([...data.slice(at, at + 3)]);
  }
  return [seen > 0, far.length];
}"""
"""Is an axis written, and how many of its dots have another colour than the text beside it?"""


@pytest.mark.parametrize("by_button", [False, True])
def test_charts_are_drawn_anew_in_another_theme(page: Page, by_button: bool) -> None:
    """By the button or by the system: axes stand out from the ground."""
    page.emulate_media(color_scheme="light")
    page.goto("/namespaces/teahouse/deployment/menu")
    chart = page.locator("[data-markers]").first
    expect(chart).to_be_visible(timeout=15_000)
    before = chart.evaluate("(chart) => getComputedStyle(chart).color")
    if by_button:
        for _ in range(2):  # from the system's to light to dark
            page.get_by_role("button", name="Theme").click()
    else:
        page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "(before) => getComputedStyle(document.querySelector('[data-markers]')).color !== before", arg=before
    )
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert chart.evaluate(WRITTEN) == [True, 0]


SOME = re.compile(r"^\d+(\.\d+)?( %|/s| ms|)$")
NONE = "\N{EN DASH}"
DENIED, QUIET = "3 calls denied, in the last 60 s", "no traffic in the last 60 s"


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("", "counter", ["2/2", *[SOME] * 6, DENIED]),
        ("", "idle", ["2/2", NONE, "0.0/s", *[NONE] * 3, "0", QUIET]),
        ("/deployment/counter", "counter-5d4-0", [*[SOME] * 3, "closed", *[SOME] * 2, DENIED]),
        ("/deployment/idle", "idle-5d4-0", [NONE, "0.0/s", *[NONE] * 4, QUIET]),
    ],
)
def test_a_note_stands_beside_the_numbers(page: Page, path: str, name: str, expected: list[Any]) -> None:
    """What policies deny, or why there are no requests: what is known is shown all the same."""
    page.goto(f"/namespaces/teahouse{path}")
    tables = page.get_by_role("table", name=re.compile("^(Deployments|Pods: the endpoints.*)$"))
    row = tables.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))
    own = [] if not path else ["Running", "yes", "0"]
    place = ["node-1", "0.1.0", re.compile("days$")] if path else []
    links = [] if path else ["open"]
    cells = [*own, *expected[:-1], *place, expected[-1], *links]
    expect(row.get_by_role("cell")).to_have_text(cells, timeout=15_000)


def test_the_map_stands_callers_before_whom_they_call(page: Page) -> None:
    """The same nodes at the same places after a reload; a dashed line where there is no mutual TLS."""
    page.goto("/map/teahouse")
    nodes = page.locator(".map .node")
    expect(nodes.filter(has_text="kettle")).to_be_visible(timeout=15_000)
    before = {node.text_content(): node.bounding_box() for node in nodes.all()}
    page.reload()
    expect(nodes.filter(has_text="kettle")).to_be_visible(timeout=15_000)
    assert {node.text_content(): node.bounding_box() for node in nodes.all()} == before
    expect(page.locator(".map .line.plaintext")).to_have_count(1)
    expect(page.locator(".map path.lock")).to_have_count(3)


def names(page: Page, table: str) -> list[str]:
    """The rows' names, from top to bottom."""
    return page.get_by_role("table", name=table, exact=True).get_by_role("rowheader").all_inner_texts()


def test_tables_are_sorted_and_filtered_by_their_address(page: Page) -> None:
    """The worst success first, at a second click the best; a part of a name. A reload shows the same."""
    page.goto("/namespaces/teahouse")
    table = page.get_by_role("table", name="Deployments", exact=True)
    expect(table.get_by_role("rowheader", name="kettle")).to_be_visible(timeout=15_000)
    sort = table.get_by_role("button", name="Success")
    sort.click()
    assert names(page, "Deployments")[:4] == ["kettle", "counter", "menu", "crowd"]
    sort.click()
    assert names(page, "Deployments")[:3] == ["menu", "counter", "kettle"]
    page.get_by_label("Filter by name").press_sequentially("ett")
    assert names(page, "Deployments") == ["kettle"]
    assert violations(page) == []
    page.reload()
    expect(page.get_by_role("link", name="kettle-5d4-0", exact=True)).to_be_visible(timeout=15_000)
    assert names(page, "Pods") == ["kettle-5d4-0", "kettle-5d4-1"]
    page.get_by_label("Filter by name").fill("samovar")
    expect(page.get_by_text("has “samovar” in its name").first).to_be_visible()


SEE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_tabs_that_nobody_sees_leave_their_connections_to_others(browser: Browser, mesh: FakeMesh) -> None:
    """A browser opens six to a server for all tabs together, and a page takes two or three. Seen again, a tab asks."""
    with browser.new_context(base_url=mesh.url) as context:
        for _ in range(4):
            tab = context.new_page()
            tab.goto("/namespaces/teahouse")
            expect(tab.get_by_role("link", name="kettle-5d4-0", exact=True)).to_be_visible(timeout=15_000)
            tab.evaluate(SEE, True)
        with tab.expect_request("**/api/v1/stat/stream*"):
            tab.evaluate(SEE, False)


def test_the_palette_goes_anywhere(page: Page) -> None:
    """Ctrl-K, a few letters, Enter."""
    page.goto("/")
    page.keyboard.press("Control+k")
    page.keyboard.type("deploy kettle")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/namespaces/teahouse/deployment/kettle$"))
    page.keyboard.press("Meta+k")
    assert violations(page) == []


def test_the_theme_is_kept(page: Page) -> None:
    """Whatever the system has."""
    page.emulate_media(color_scheme="dark")
    page.goto("/check")
    page.get_by_role("button", name="Theme").click()
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 250, 246)"


@pytest.mark.parametrize("name", [name for name in PAGES if name != "nowhere"])
def test_every_view_has_its_commands(page: Page, name: str) -> None:
    """What it shows can be had on the command line, by commands and options that there are."""
    page.goto(PAGES[name][0])
    expect(page.get_by_text(PAGES[name][1]).locator("visible=true").first).to_be_visible(timeout=15_000)
    commands = page.locator(".twin code").all_inner_texts()
    assert commands
    for text in commands:
        understood(text)


def understood(text: str) -> None:
    """Fails on an unknown command, option or kind."""
    first, *words = shlex.split(text)
    assert first == "weft"
    command: click.Command = cli
    context: click.Context | None = None
    while isinstance(command, click.Group):
        context = command.make_context(command.name, words, parent=context)
        _, found, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found
        command = found
    given = command.make_context(command.name, words, parent=context).params
    for value in given.values():
        if isinstance(value, tuple) and value:
            resources.parse(value)


def test_an_exchange_opens(page: Page) -> None:
    """With its headers; a policy in audit that would deny it is told beside its answer."""
    page.goto(PAGES["tap"][0])
    expect(page.get_by_text("audit: would be denied by policy teahouse/draft").first).to_be_visible(timeout=15_000)
    page.get_by_role("button", expanded=False).filter(has_text=":").first.click(timeout=15_000)
    expect(page.get_by_text("> x-tea: oolong")).to_be_visible()


@pytest.fixture
def trouble(mesh: FakeMesh, request: pytest.FixtureRequest) -> Iterator[None]:
    """Prometheus is out of order for a while."""
    mesh.trouble = request.param
    yield
    mesh.trouble = ""


TROUBLES = {
    "broken": "out of memory",
    "empty": "Prometheus has no data yet",
    "history": "Charts: Prometheus refused a query: out of memory",
    "wide": r"has more than 16 MiB: ask for one name\b",
}
WITHOUT = (
    *("/", "/namespaces/teahouse", "/namespaces/teahouse/deployment/menu", "/namespaces/teahouse/service/kettle"),
    *("/identity", "/map", "/map/teahouse"),
)


@pytest.mark.parametrize(
    ("trouble", "path"),
    [
        *((trouble, path) for trouble in ("broken", "empty") for path in WITHOUT),
        *(("wide", path) for path in ("/namespaces/teahouse", "/map/teahouse")),
    ],
    indirect=["trouble"],
)
def test_without_prometheus_no_number_is_shown(trouble: None, mesh: FakeMesh, page: Page, path: str) -> None:
    """Each page says what is the matter, and shows no rate that nobody knows; nor that there was no traffic."""
    page.wait_for_timeout(1100)  # answers from before are forgotten after a second
    page.goto(path)
    expect(page.get_by_text(re.compile(TROUBLES[mesh.trouble])).first).to_be_visible(timeout=15_000)
    untrue = r"\d/s|Nobody|no HTTP requests|No traffic|None in the last|closed"
    assert re.findall(untrue, page.inner_text("main")) == []


@pytest.mark.parametrize("trouble", ["history"], indirect=True)
def test_charts_say_why_they_are_empty(trouble: None, page: Page) -> None:
    """The numbers of now are known, those of before are not."""
    page.wait_for_timeout(1100)  # answers from before are forgotten after a second
    page.goto("/namespaces/teahouse/deployment/menu")
    expect(page.get_by_text(TROUBLES["history"])).to_be_visible(timeout=15_000)


def refuse(route: Any) -> None:
    """No view of problems."""
    body = {"error": {"code": "unavailable", "message": "no problems today", "hint": ""}}
    route.fulfill(status=400, content_type="application/json", body=json.dumps(body))


def test_a_namespace_says_that_its_problems_are_not_known(page: Page) -> None:
    """None shown would read as none there."""
    page.route("**/api/v1/stream?view=problems**", refuse)
    page.goto("/namespaces/teahouse")
    expect(page.get_by_text("Problems: no problems today")).to_be_visible(timeout=15_000)


BOARDS = sorted((Path(__file__).parents[2] / "charts/mesh/charts/viz/files/dashboards").glob("*.json"))
KINDS = {"deployment": "menu", "pod": "menu-5d4-0", "service": "menu"}


@pytest.mark.parametrize("path", ["", *(f"/{kind}/{name}" for kind, name in KINDS.items())])
def test_links_to_grafana_lead_to_boards_that_there_are(page: Page, path: str) -> None:
    """With variables that they have."""
    boards = {board["uid"]: board for board in map(json.loads, map(Path.read_text, BOARDS))}
    page.goto(f"/namespaces/teahouse{path}")
    links = page.locator(f"a[href^='{GRAFANA}']")
    expect(page.locator("p.links").get_by_role("link", name="Grafana")).to_be_visible(timeout=15_000)
    hrefs = {link.get_attribute("href") or "" for link in links.all()}
    assert len(hrefs) > 1
    for href in map(urlsplit, hrefs):
        board = boards[href.path.removeprefix("/d/")]
        known = {f"var-{one['name']}" for one in board["templating"]["list"]}
        assert set(parse_qs(href.query)) <= known


@pytest.mark.parametrize("file", BOARDS, ids=lambda file: file.stem)
def test_boards_lead_back_to_pages_that_there_are(page: Page, file: Path) -> None:
    """Whatever object they show."""
    values = {"namespace": "teahouse", "kind": "deployment", "workload": "menu", "pod": "menu-5d4-0", "service": "menu"}
    links = re.findall(r"http://localhost:50750([^\"?]*)", file.read_text())
    assert links
    for link in dict.fromkeys(links):
        page.goto(re.sub(r"\$\{(\w+)[^}]*\}", lambda found: values[found[1]], link) or "/")
        expect(page.get_by_role("heading", level=1).first).not_to_have_text("There is no such page", timeout=15_000)
        expect(page.get_by_role("heading", level=1).first).to_be_visible()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/namespaces/nowhere", "There is nothing in namespace nowhere"),
        ("/namespaces/teahouse/deployment/gone", "there is no deployment 'gone' in namespace teahouse"),
        ("/namespaces/teahouse/potato/x", "unknown kind 'potato'"),
        ("/namespaces/teahouse/deployment/idle", "no traffic in the last 60 s"),
        ("/tap?namespace=teahouse&resource=potato/x&run=1", "unknown kind 'potato'"),
        ("/tap?namespace=teahouse&resource=deploy&run=1", "is not given: which deployment?"),
        ("/tap?namespace=teahouse&resource=deploy/loyalty&run=1", "bind ClusterRole weft-tap-viewer"),
    ],
)
def test_bad_input_is_answered(page: Page, path: str, text: str) -> None:
    """With what is the matter, at once."""
    page.goto(path)
    expect(page.get_by_text(text).first).to_be_visible(timeout=15_000)


def test_a_refused_token_brings_the_question_for_one(page: Page) -> None:
    """An exposed server answers 401; with the token that was given the page goes on."""

    def answer(route: Any) -> None:
        if route.request.headers.get("authorization") == "Bearer t0ken":
            route.fallback()
        else:
            body = {"error": {"code": "unauthenticated", "message": "no token", "hint": ""}}
            route.fulfill(status=401, content_type="application/json", body=json.dumps(body))

    page.route("**/api/**", answer)
    page.goto("/")
    page.get_by_label("Token").fill("t0ken")
    assert violations(page) == []
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_text("deployment/kettle in teahouse").first).to_be_visible(timeout=15_000)


def test_a_token_that_ends_brings_the_question_for_one(page: Page) -> None:
    """The stream breaks off; asked again, the server wants a token."""
    body = {"error": {"code": "unauthenticated", "message": "the token has ended", "hint": ""}}
    answers = [
        {"status": 200, "content_type": "text/event-stream", "body": f"event: failure\ndata: {json.dumps(body)}\n\n"},
        {"status": 401, "content_type": "application/json", "body": json.dumps(body)},
    ]
    page.route("**/api/v1/stat/stream**", lambda route: route.fulfill(**answers.pop(0) if answers else {"status": 401}))
    page.goto("/")
    expect(page.get_by_label("Token")).to_be_visible(timeout=15_000)


def test_who_may_look_at_one_namespace_chooses_it(page: Page) -> None:
    """Home and the palette cannot list what there is: they take a name."""
    body = {"error": {"code": "forbidden", "message": "ann may not list pods in all namespaces", "hint": "ask for one"}}

    def answer(route: Any) -> None:
        if "namespace=teahouse" in route.request.url or "version" in route.request.url:
            route.fallback()
        else:
            route.fulfill(status=403, content_type="application/json", body=json.dumps(body))

    page.route("**/api/**", answer)
    page.goto("/")
    page.get_by_label("Namespace").fill("teahouse", timeout=15_000)
    assert violations(page) == []
    page.get_by_role("button", name="Go there").click()
    expect(page.get_by_text("kettle-5d4-0").first).to_be_visible(timeout=15_000)
    page.keyboard.press("Control+k")
    page.keyboard.type("teahouse")
    expect(page.get_by_role("option", name="ns teahouse")).to_be_visible()
    page.keyboard.press("Escape")
    for path, text in (("/identity", "ns/teahouse/sa/menu"), ("/map", "Who calls whom in teahouse")):
        page.goto(path)
        page.get_by_label("Namespace").fill("teahouse", timeout=15_000)
        page.get_by_role("button", name="Go there").click()
        expect(page.get_by_text(text).first).to_be_visible(timeout=15_000)


def test_the_palette_asks_once_and_says_why_it_is_empty(page: Page) -> None:
    """Names alone, not with every number of the mesh; a server in trouble is not one that refuses."""
    body = {"error": {"code": "unavailable", "message": "Kubernetes is away", "hint": ""}}
    answers = [{"status": 503, "content_type": "application/json", "body": json.dumps(body)}]
    asked: list[str] = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(**answers.pop()) if answers else route.fallback()

    page.route("**/api/v1/names**", answer)
    page.goto("/check")
    page.keyboard.press("Control+k")
    expect(page.get_by_text("What there is cannot be listed: Kubernetes is away")).to_be_visible(timeout=15_000)
    for _ in range(2):
        page.keyboard.press("Escape")
        page.keyboard.press("Control+k")
        page.keyboard.type("deploy kettle")
        expect(page.get_by_role("option")).to_have_count(1)
    assert len(asked) == 2


def test_top_tells_what_it_leaves_out(page: Page) -> None:
    """Its counts are a sample then."""
    page.goto(PAGES["top"][0])
    expect(page.get_by_text("2 requests are left out")).to_be_visible(timeout=15_000)
