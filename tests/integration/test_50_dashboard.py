"""The dashboard in a real browser, on live numbers."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import eventually, http
from load import running
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOTS = os.environ.get("SCREENSHOTS", "")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium from the machine's packages."""
    assert CHROMIUM, "no chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser, web: str) -> Iterator[Page]:
    """A page that fails the test on any script error."""
    found = browser.new_page(base_url=web, viewport={"width": 1280, "height": 860})
    faults: list[str] = []
    found.on("pageerror", lambda error: faults.append(str(error)))
    yield found
    found.close()
    assert faults == []


def shot(page: Page, name: str) -> None:
    """A screenshot, where SCREENSHOTS names a folder."""
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def test_home_leads_to_the_failing_call(teahouse: None, page: Page, web: str) -> None:
    """From 'what is wrong' to the workload to the path that fails, without typing."""
    with running("seen", rate=20, count=2000):
        eventually(
            lambda: '"success":0.' in http(f"{web}/api/v1/stat?kind=deployment&namespace=teahouse&name=kettle")[1], 60
        )
        page.goto("/")
        problem = page.get_by_role("link", name="deployment/kettle in teahouse").first
        expect(problem).to_be_visible(timeout=30_000)
        shot(page, "home")
        problem.click()
        failing = page.get_by_role("row").filter(has_text="BrewOolong").filter(has_text="0.00 %")
        expect(failing.first).to_be_visible(timeout=30_000)
        page.wait_for_timeout(15_000 if SHOTS else 0)
        shot(page, "workload")
        failing.first.get_by_role("link").click()
        expect(page.get_by_role("row").filter(has_text="BrewOolong").first).to_be_visible(timeout=30_000)
        shot(page, "tap")


def test_a_namespace_lists_deployments_and_pods(teahouse: None, page: Page) -> None:
    """Every deployment and every pod is there, meshed or not."""
    page.goto("/namespaces/teahouse")

    deployments = page.get_by_role("table", name="Deployments", exact=True)
    for name in ("counter", "kettle", "menu", "shelf"):
        expect(deployments.get_by_role("link", name=name, exact=True)).to_be_visible(timeout=15_000)
    expect(page.get_by_role("table", name="Pods", exact=True).get_by_role("link").first).to_be_visible()
    shot(page, "namespace")


def test_top_adds_up_live_calls(teahouse: None, page: Page) -> None:
    """The top page shows each path once, and its count goes up."""
    with running("topping", rate=10, count=300):
        page.goto("/top?namespace=teahouse&resource=deploy/counter&run=1")

        menu = page.get_by_role("row").filter(has_text="/api/menu").first
        expect(menu.get_by_role("cell").nth(4)).to_have_text(re.compile(r"^\d\d+$"), timeout=30_000)
        shot(page, "top")
