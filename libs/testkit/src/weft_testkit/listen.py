"""HTTP applications of tests, on sockets of their own."""

from contextlib import AsyncExitStack

from aiohttp import web


async def listen(app: web.Application, stack: AsyncExitStack) -> str:
    """The URL at which `app` answers until `stack` ends."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
