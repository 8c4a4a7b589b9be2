"""cashier: HTTP and JSON; sums up what a guest owes."""

from aiohttp import web

from teahouse.chaos import Chaos
from teahouse.frame import open_house, port, serving

OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "cashier", "version": "1"},
    "paths": {
        "/charge": {
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {"prices": {"type": "array", "items": {"type": "integer"}}},
                            }
                        }
                    }
                },
                "responses": {"200": {"description": "the total in cents"}, "400": {"description": "no prices"}},
            }
        },
        "/receipts/{id}": {
            "get": {"responses": {"200": {"description": "a receipt"}, "404": {"description": "unknown"}}}
        },
    },
}


class Cashier:
    """Keeps its last receipts in memory."""

    def __init__(self) -> None:
        self._receipts: list[int] = []

    async def charge(self, request: web.Request) -> web.Response:
        """Adds up the prices."""
        try:
            total = sum(int(price) for price in (await request.json())["prices"])
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": 'expected {"prices": [cents, …]}'}, status=400)
        self._receipts = [*self._receipts[-999:], total]
        return web.json_response({"total": total, "receipt": len(self._receipts) - 1})

    async def receipt(self, request: web.Request) -> web.Response:
        """One receipt by its number."""
        number = request.match_info["id"]
        if not number.isdigit() or int(number) >= len(self._receipts):
            return web.json_response({"error": f"no receipt {number}"}, status=404)
        return web.json_response({"total": self._receipts[int(number)]})


def application() -> web.Application:
    """The routes."""

    async def openapi(_: web.Request) -> web.Response:
        return web.json_response(OPENAPI)

    cashier = Cashier()
    app = web.Application()
    app.add_routes(
        [
            web.post("/charge", cashier.charge),
            web.get("/receipts/{id}", cashier.receipt),
            web.get("/openapi.json", openapi),
        ]
    )
    return app


async def serve() -> None:
    """Serves until SIGTERM."""
    async with open_house(Chaos()) as stop, serving(application(), port(8000)):
        await stop.wait()
