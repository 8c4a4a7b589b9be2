"""The HTTP side of a webhook: limits, malformed bodies, and what happens when a review itself fails."""

import inspect
from collections.abc import Awaitable, Callable

import structlog
from weft_http.message import Refused
from weft_http.message import Request as HttpRequest
from weft_http.message import Response as HttpResponse
from weft_http.routes import Routes

from weft_webhook.review import Request, Response, ReviewError, decode, encode

MAX_BODY = 4 * 2**20
"""Of the server that serves the routes: etcd takes objects up to 1.5 MB, and an update's review holds two."""

Review = Callable[[Request], Response | Awaitable[Response]]


def webhook_routes(
    path: str, review: Review, *, fail_open: bool, on_malformed: Callable[[], object] = lambda: None
) -> Routes:
    """Answers POSTs to `path` with what `review` decides.

    A body that is no review is answered 400, one that is too large 413; each is told to `on_malformed`. A review that
    raises is logged, and allows the object with a warning (`fail_open`) or refuses it with code 500.
    """
    log = structlog.get_logger()

    async def handle(http: HttpRequest) -> HttpResponse:
        try:
            request = decode(http.body())
        except (ReviewError, Refused) as error:
            on_malformed()
            log.warning("review refused", reason=str(error), bytes=http.headers.get("content-length"))
            raise error if isinstance(error, Refused) else Refused(400, f"{error}\n") from None
        response = await _decide(request)
        return HttpResponse(encode(request.uid, response), content_type="application/json")

    async def _decide(request: Request) -> Response:
        try:
            answer = review(request)
            return await answer if inspect.isawaitable(answer) else answer
        except Exception as error:  # a webhook must answer, whatever the reviewer stumbles over
            facts = {"kind": request.kind.kind, "namespace": request.namespace, "name": request.name}
            log.exception("review failed", uid=request.uid, allowed=fail_open, **facts)
            return _failed(error, fail_open=fail_open)

    routes = Routes()
    routes.add("POST", path, handle)
    return routes


def _failed(error: Exception, *, fail_open: bool) -> Response:
    reason = f"weft could not review this object: {type(error).__name__}"
    if fail_open:
        return Response(allowed=True, warnings=[reason])
    return Response(allowed=False, message=reason, code=500)
