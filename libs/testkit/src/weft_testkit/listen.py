"""HTTP applications of tests, on sockets of their own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from aiohttp import web
from weft_http.routes import Handler
from weft_http.server import MAX_BODY, serving


async def listen(app: web.Application, stack: AsyncExitStack) -> str:
    """The URL at which `app` answers until `stack` ends."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


async def served(handler: Handler, stack: AsyncExitStack) -> str:
    """The URL at which `handler` answers until `stack` ends."""
    return f"http://127.0.0.1:{await stack.enter_async_context(serving(handler, '127.0.0.1', 0))}"


@asynccontextmanager
async def asking(
    handler: Handler, max_body: int = MAX_BODY, on_error: Callable[[Exception], object] = lambda _: None
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a server that answers by `handler`."""
    async with (
        serving(handler, "127.0.0.1", 0, max_body=max_body, on_error=on_error) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session
