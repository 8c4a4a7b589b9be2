"""loyalty: HTTP with a slow tail: a few calls take more than a second."""

import asyncio
from collections import Counter

from aiohttp import web

from teahouse.chaos import SLOW_SECONDS, Chaos
from teahouse.frame import open_house, port, serving


def application(chaos: Chaos, slow_seconds: float = SLOW_SECONDS) -> web.Application:
    """POST /guests/{guest}/points adds one and tells the sum."""
    points: Counter[str] = Counter()

    async def add(request: web.Request) -> web.Response:
        if chaos.strikes("slow"):
            await asyncio.sleep(slow_seconds)
        guest = request.match_info["guest"]
        points[guest] += 1
        return web.json_response({"guest": guest, "points": points[guest]})

    app = web.Application()
    app.add_routes([web.post("/guests/{guest}/points", add)])
    return app


async def serve() -> None:
    """Serves until SIGTERM."""
    chaos = Chaos()
    async with open_house(chaos) as stop, serving(application(chaos), port(8000)):
        await stop.wait()
