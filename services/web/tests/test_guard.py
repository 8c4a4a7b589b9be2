"""Who may ask, and what pages may do."""

from typing import Any

import pytest
from weft_web.guard import refusal

HOSTS = frozenset({"weft.example"})
BROKEN = ["[::1", "[x]:80", "[]"]


@pytest.mark.parametrize("host", ["localhost:50750", "127.0.0.1", "[::1]:8084", "weft.example"])
def test_known_hosts_may(host: str) -> None:
    """Loopback names, and those configured, on any port."""
    assert refusal(host, None, HOSTS) == ""
    assert refusal(host, f"http://{host}", HOSTS) == ""


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1.nip.io", *BROKEN]
)
def test_other_hosts_may_not(host: str) -> None:
    """DNS rebinding brings a foreign name in Host."""
    assert refusal(host, None, HOSTS)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:3000", "http://[::1", "http://[x]"]
)
def test_pages_of_other_origins_may_not(origin: str) -> None:
    """Only this server's own pages."""
    assert refusal("localhost:50750", origin, HOSTS)


@pytest.mark.parametrize("headers", [*({"Host": host} for host in BROKEN), {"Origin": "http://[::1"}])
async def test_a_broken_header_is_refused_with_a_message(lab: Any, headers: dict[str, str]) -> None:
    """Not with an error of the server's own."""
    async with lab.session.get("/api/v1/version", headers=headers) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (403, "forbidden_host")


async def test_every_answer_has_the_strict_headers(lab: Any) -> None:
    """Files, API and refusals alike."""
    (lab.static / "index.html").write_text("<html>")
    for path, headers in (("/", {}), ("/api/v1/version", {}), ("/", {"Host": "evil.example"})):
        async with lab.session.get(path, headers=headers) as response:
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert response.status == (403 if headers else 200)


async def test_pages_of_the_dashboard_are_index_html(lab: Any) -> None:
    """Files by their path, every other path the page, and nothing outside the folder."""
    (lab.static / "index.html").write_text("page")
    (lab.static / "assets").mkdir()
    (lab.static / "assets" / "a-1.js").write_text("script")
    (lab.static.parent / "secret").write_text("secret")
    expected = {"/": "page", "/namespaces/x": "page", "/assets/a-1.js": "script", "/%2e%2e/secret": "page"}
    answers = {path: await (await lab.session.get(path)).text() for path in expected}
    assert answers == expected
