"""How soon the home page is there, with many workloads of two pods each, in a real browser.

    uv run python tests/scale/dashboard.py [WORKLOADS]

Prints one JSON document. `first_paint`: the browser shows something; `problems`, `namespaces`: both answers are shown;
seconds from the navigation on, the median of several, each with a browser's empty cache and with answers that web has
to work out anew. Kubernetes and Prometheus answer at once from this very process, so web's part and theirs count.
Fails when the first paint takes longer than LIMIT_SECONDS.
"""

import json
import statistics
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from weft_web.prometheus import SCRAPE_SECONDS

sys.path.append(str(Path(__file__).parents[1] / "dashboard"))

from chromium import launched
from fake_mesh import FakeMesh

LIMIT_SECONDS = 1.0
"""Until something is to be seen, with 2,000 pods."""

ROUNDS = 5
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SHOWN = {"problems": ".problems li, .fine", "namespaces": "table tbody tr"}


def once(browser: Browser, url: str) -> dict[str, float]:
    """Seconds until each part is there."""
    page = browser.new_page()
    started = time.monotonic()
    page.goto(url, wait_until="commit")
    found = {}
    for name, selector in SHOWN.items():
        page.wait_for_selector(selector, timeout=30_000)
        found[name] = time.monotonic() - started
    found["first_paint"] = float(page.evaluate(PAINTED)) / 1000
    page.close()
    return found


def main(workloads: int) -> None:
    """Opens it again and again."""
    with FakeMesh(workloads) as mesh, sync_playwright() as playwright:
        browser = launched(playwright)
        once(browser, mesh.url)  # the fake's own answers are worked out once
        rounds = []
        for _ in range(ROUNDS):
            time.sleep(SCRAPE_SECONDS)  # the longest that web keeps an answer
            rounds.append(once(browser, mesh.url))
        browser.close()
    seconds = {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]}
    first = seconds["first_paint"]
    print(json.dumps({"pods": 2 * workloads, "first_paint_s": first, "seconds": seconds}, indent=1))
    if workloads <= 1000 and first > LIMIT_SECONDS:
        sys.exit(f"the first paint takes {first} s: more than {LIMIT_SECONDS:g} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1000)
