"""Paths and the handlers that answer them."""

import pytest
from weft_http.message import Headers, Refused, Request, Response
from weft_http.routes import Routes


async def told(request: Request) -> Response:
    """Answers with what the path named."""
    return Response(repr(request.params).encode())


def routes() -> Routes:
    """One fixed path and one with names."""
    made = Routes()
    made.add("GET", "/live", told)
    made.add("GET", "/ns/{namespace}/{name}", told)
    return made


@pytest.mark.parametrize(
    ("target", "params"),
    [
        ("/live", {}),
        ("/live?a=b", {}),
        ("/ns/shop/web", {"namespace": "shop", "name": "web"}),
        ("/ns/a%2Fb/web?x=/y", {"namespace": "a/b", "name": "web"}),
    ],
)
async def test_a_path_finds_its_handler(target: str, params: dict[str, str]) -> None:
    """Whatever the query says; a name takes one segment, decoded."""
    assert (await routes()(Request("GET", target, Headers()))).body == repr(params).encode()


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/", 404), ("GET", "/live/", 404), ("GET", "/ns/shop", 404), ("POST", "/live", 405)],
)
async def test_what_has_no_handler_is_refused(method: str, target: str, status: int) -> None:
    """404 for a path, 405 for a method that a known path does not take."""
    with pytest.raises(Refused) as refusal:
        await routes()(Request(method, target, Headers()))
    assert refusal.value.status == status


def test_a_query_is_decoded() -> None:
    """The first of each name counts."""
    assert Request("GET", "/x?a=1+2&a=3&b=&c=%2F", Headers()).query == {"a": "1 2", "b": "", "c": "/"}
