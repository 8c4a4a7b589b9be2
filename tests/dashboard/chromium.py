"""Headless Chromium from the machine's packages."""

import shutil

from playwright.sync_api import Browser, Playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def launched(playwright: Playwright) -> Browser:
    """A browser of its own."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "no chromium: apt-get install chromium"
    return playwright.chromium.launch(executable_path=chromium, args=FLAGS)
