"""The client of an exposed web, before a server on a socket."""

import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from weft.client_exposed import Exposed
from weft.errors import Failure

ERROR = {"error": {"code": "unauthenticated", "message": "this server wants a Kubernetes token", "hint": "send one"}}


class Server(http.server.BaseHTTPRequestHandler):
    """Answers who has the token; a stream of two events, of which the second is a failure."""

    def do_GET(self) -> None:
        """Any path."""
        known = self.headers.get("Authorization") == "Bearer t0ken"
        body = json.dumps({"path": self.path} if known else ERROR).encode()
        if known and self.path.startswith("/api/v1/tap"):
            body = (
                b'data: {"method":"GET","error":""}\n\n: still here\n\nevent: failure\ndata: '
                + json.dumps(ERROR).encode()
                + b"\n\n"
            )
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Of the server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_parameters_that_are_empty_are_left_out(url: str) -> None:
    """As the other client does."""
    assert Exposed(url, "t0ken").get("stat", kind="pod", name="") == {"path": "/api/v1/stat?kind=pod"}


def test_a_refusal_has_the_servers_words(url: str) -> None:
    """Message and hint."""
    with pytest.raises(Failure, match="this server wants a Kubernetes token"):
        Exposed(url).get("stat")


def test_a_stream_ends_with_the_servers_reason(url: str) -> None:
    """Events before it are given; a call that a proxy answered, whose error the event has, is no failure."""
    events = Exposed(url, "t0ken").events("tap", namespace="shop")
    assert next(events) == {"method": "GET", "error": ""}
    with pytest.raises(Failure, match="wants a Kubernetes token"):
        next(events)


def test_what_is_no_url_is_refused() -> None:
    """Before anything is sent."""
    with pytest.raises(Failure, match="is no URL"):
        Exposed("weft.example")
