"""Who may ask: this server's own pages, against DNS rebinding and pages of other sites. Sets strict headers too."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from weft_http.message import Request, Response
from weft_http.routes import Handler

from weft_web.faults import Fault

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def refusal(host: str, origin: str | None, hosts: frozenset[str]) -> str:
    """Why a request with these headers is refused; empty when it is not."""
    name = _parts(f"//{host}").hostname or ""
    if name not in hosts and not loopback(name):
        return f"this server is not called {name or host!r}"
    if origin is not None and _parts(origin).netloc != host:
        return f"pages of {origin} may not ask"
    return ""


def _parts(url: str) -> SplitResult:
    """Of what is no URL ("http://[::1"), empty ones."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def loopback(name: str) -> bool:
    """Does this name or address lead back to the same machine?"""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def guarded(handler: Handler, hosts: frozenset[str]) -> Handler:
    """The handler; what `refusal` names is refused with 403."""

    async def checked(request: Request) -> Response:
        if why := refusal(request.headers.get("Host", ""), request.headers.get("Origin"), hosts):
            raise Fault(403, "forbidden_host", why, "use localhost, or name the host in WEFT_ALLOWED_HOSTS")
        return await handler(request)

    return checked
