"""Which handler answers which path."""

from collections.abc import Awaitable, Callable

from weft_http.message import Refused, Request, Response

Handler = Callable[[Request], Awaitable[Response]]


class Routes:
    """A handler of handlers: the first whose path fits answers."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, str, Handler]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        """A path such as "/targets/{job}": `request.params["job"]` is one segment, decoded."""
        self._routes.append((method, path, handler))

    async def __call__(self, request: Request) -> Response:
        """The handler's answer; Refused 404 or 405 when there is none."""
        known, wanted = False, "GET" if request.method == "HEAD" else request.method
        for method, path, handler in self._routes:
            if request.matches(path.split("/")):
                if method == wanted:
                    request.route = path
                    return await handler(request)
                known = True
        raise Refused(405 if known else 404)
