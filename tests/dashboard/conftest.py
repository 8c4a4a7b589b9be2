"""The built dashboard in headless Chromium, before a mesh that is told what to say."""

from collections.abc import Iterator

import pytest
from chromium import launched
from fake_mesh import STATIC, FakeMesh
from playwright.sync_api import Browser, Page, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium from the machine's packages."""
    with sync_playwright() as playwright:
        found = launched(playwright)
        yield found
        found.close()


@pytest.fixture(scope="session")
def mesh() -> Iterator[FakeMesh]:
    """The tea house."""
    assert (STATIC / "index.html").is_file(), "the dashboard is not built: cd services/web/dashboard && npm run build"
    with FakeMesh() as found:
        yield found


@pytest.fixture
def page(browser: Browser, mesh: FakeMesh) -> Iterator[Page]:
    """A page that fails the test on a script's error, or when it wants anything from elsewhere."""
    found = browser.new_page(base_url=mesh.url, viewport={"width": 1280, "height": 900})
    faults: list[str] = []
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on("request", lambda one: faults.append(one.url) if not one.url.startswith(mesh.url) else None)
    yield found
    found.close()
    assert faults == []
