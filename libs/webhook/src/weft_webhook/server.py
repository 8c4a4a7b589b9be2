"""The HTTP side of a webhook: limits, malformed bodies, and what happens when a review itself fails."""

import inspect
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from weft_webhook.review import Request, Response, ReviewError, decode, encode

MAX_BODY = 4 * 2**20
"""etcd takes objects up to 1.5 MB, and an update's review holds two."""

Review = Callable[[Request], Response | Awaitable[Response]]


def webhook_app(
    path: str, review: Review, *, fail_open: bool, on_malformed: Callable[[], object] = lambda: None
) -> web.Application:
    """An application that answers POSTs to `path` with what `review` decides.

    A body that is no review is answered 400, one that is too large 413; each is told to `on_malformed`. A review that
    raises is logged, and allows the object with a warning (`fail_open`) or refuses it with code 500.
    """
    log = structlog.get_logger()

    async def handle(http: web.Request) -> web.Response:
        try:
            body = await http.read()
            request = decode(body)
        except (ReviewError, web.HTTPRequestEntityTooLarge) as error:
            on_malformed()
            log.warning("review refused", reason=str(error), bytes=http.content_length)
            if isinstance(error, web.HTTPRequestEntityTooLarge):
                raise
            return web.Response(status=400, text=f"{error}\n")
        response = await _decide(request)
        return web.Response(body=encode(request.uid, response), content_type="application/json")

    async def _decide(request: Request) -> Response:
        try:
            answer = review(request)
            return await answer if inspect.isawaitable(answer) else answer
        except Exception as error:  # a webhook must answer, whatever the reviewer stumbles over
            facts = {"kind": request.kind.kind, "namespace": request.namespace, "name": request.name}
            log.exception("review failed", uid=request.uid, allowed=fail_open, **facts)
            return _failed(error, fail_open=fail_open)

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post(path, handle)
    return app


def _failed(error: Exception, *, fail_open: bool) -> Response:
    reason = f"weft could not review this object: {type(error).__name__}"
    if fail_open:
        return Response(allowed=True, warnings=[reason])
    return Response(allowed=False, message=reason, code=500)
