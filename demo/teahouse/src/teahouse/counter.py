"""counter: the page a guest uses, and the orders behind it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files

import aiohttp
import grpc
from aiohttp import web

from teahouse.chaos import Chaos
from teahouse.frame import ADMIN_PORT, open_house, port, serving, setting, trace_headers
from teahouse.greeter import ask
from teahouse.v1 import teahouse_pb2 as pb
from teahouse.v1 import teahouse_pb2_grpc as rpc

CALL_SECONDS = 5.0
LISTENERS = 100
"""Open pages that hear of orders; more are refused."""


@dataclass(frozen=True, slots=True)
class Staff:
    """Whom the counter asks."""

    menu: rpc.MenuAsyncStub
    kettle: rpc.KettleAsyncStub
    http: aiohttp.ClientSession
    cashier: str
    loyalty: str
    greeter: tuple[str, int]


@asynccontextmanager
async def staff() -> AsyncIterator[Staff]:
    """Connections to the other roles, from the environment."""
    async with (
        grpc.aio.insecure_channel(setting("MENU", "menu:9090")) as menu,
        grpc.aio.insecure_channel(setting("KETTLE", "kettle:9090")) as kettle,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS)) as http,
    ):
        yield Staff(
            rpc.MenuStub(menu),
            rpc.KettleStub(kettle),
            http,
            setting("CASHIER_URL", "http://cashier:8000"),
            setting("LOYALTY_URL", "http://loyalty:8000"),
            (setting("GREETER_HOST", "greeter"), int(setting("GREETER_TCP_PORT", "7777"))),
        )


async def order(staff: Staff, tea: str, guest: str, headers: Mapping[str, str]) -> dict[str, object]:
    """One cup: menu, kettle, cashier, loyalty. Raises AioRpcError or ClientError of the role that failed."""
    trace = trace_headers(headers)
    metadata = list(trace.items())
    found = await staff.menu.FindTea(pb.FindTeaRequest(name=tea), metadata=metadata, timeout=CALL_SECONDS)
    brew = getattr(staff.kettle, f"Brew{tea.capitalize()}")
    cup = await brew(pb.BrewRequest(temperature=found.temperature), metadata=metadata, timeout=CALL_SECONDS)
    charged = await _post(staff, f"{staff.cashier}/charge", {"prices": [found.price]}, trace)
    points = await _post(staff, f"{staff.loyalty}/guests/{guest}/points", {}, trace)
    return {"tea": cup.tea, "total": charged["total"], "points": points["points"]}


async def _post(staff: Staff, url: str, body: object, headers: Mapping[str, str]) -> dict[str, object]:
    async with staff.http.post(url, json=body, headers=headers) as response:
        response.raise_for_status()
        answer: dict[str, object] = await response.json()
        return answer


class Counter:
    """HTTP handlers, and the pages that listen to orders."""

    def __init__(self, staff: Staff) -> None:
        self._staff = staff
        self._listeners: set[asyncio.Queue[str]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Everything the counter serves."""
        return [
            web.get("/", self.page),
            web.get("/api/menu", self.menu),
            web.get("/api/greeting", self.greeting),
            web.post("/api/orders", self.take_order),
            web.get("/api/orders", self.listen),
            web.post("/_chaos", self.chaos),
        ]

    async def page(self, _: web.Request) -> web.Response:
        """The page."""
        return web.Response(text=files("teahouse").joinpath("page.html").read_text(), content_type="text/html")

    async def menu(self, request: web.Request) -> web.Response:
        """All teas with their prices."""
        try:
            answer = await self._staff.menu.ListTeas(
                pb.ListTeasRequest(), metadata=list(trace_headers(request.headers).items()), timeout=CALL_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            return _failed("menu", error)
        return web.json_response([{"name": tea.name, "price": tea.price} for tea in answer.teas])

    async def greeting(self, request: web.Request) -> web.Response:
        """What the greeter says."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return web.json_response(
                    {"greeting": await ask(*self._staff.greeter, request.query.get("guest", "guest"))}
                )
        except (OSError, TimeoutError) as error:
            return web.json_response({"error": f"the greeter is out of reach: {error}"}, status=502)

    async def take_order(self, request: web.Request) -> web.Response:
        """POST ?tea=…&guest=…: a cup, or which role failed."""
        tea, guest = request.query.get("tea", ""), request.query.get("guest", "guest")
        if not tea.isalpha() or not guest.isalnum():
            return web.json_response(
                {"error": "tea and guest are single words: POST /api/orders?tea=sencha&guest=mia"}, status=400
            )
        began = time.monotonic()
        response = await self._serve(tea, guest, request.headers)
        self._tell(
            {"tea": tea, "guest": guest, "status": response.status, "ms": round((time.monotonic() - began) * 1000)}
        )
        return response

    async def _serve(self, tea: str, guest: str, headers: Mapping[str, str]) -> web.Response:
        try:
            return web.json_response(await order(self._staff, tea, guest, headers))
        except grpc.aio.AioRpcError as error:
            return _failed("kettle or menu", error)
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.json_response({"error": f"cashier or loyalty failed: {error}"}, status=502)

    def _tell(self, news: dict[str, object]) -> None:
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(json.dumps(news))

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events, one an order."""
        if len(self._listeners) >= LISTENERS:
            return web.json_response({"error": "too many pages are open"}, status=503)
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=100)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        self._listeners.add(queue)
        try:
            while True:
                await response.write(f"data: {await queue.get()}\n\n".encode())
        except ConnectionError:
            return response
        finally:
            self._listeners.discard(queue)

    async def chaos(self, request: web.Request) -> web.Response:
        """Passes new faults on to every pod of kettle and loyalty."""
        body = await request.json()
        hosts = setting("CHAOS_HOSTS", "kettle-pods,loyalty-pods").split(",")
        answers = {}
        for address in [a for host in hosts for a in await addresses(host)]:
            async with self._staff.http.post(f"http://{address}:{ADMIN_PORT}/_chaos", json=body) as response:
                answers[address] = await response.json()
        return web.json_response(answers)


def _failed(role: str, error: grpc.aio.AioRpcError) -> web.Response:
    status = 404 if error.code() is grpc.StatusCode.NOT_FOUND else 500
    return web.json_response({"error": error.details(), "role": role, "code": error.code().name}, status=status)


async def addresses(host: str) -> list[str]:
    """Every address behind a name (a headless Service has one for each pod)."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted(
        {f"[{address[0]}]" if family == socket.AF_INET6 else str(address[0]) for family, _, _, _, address in found}
    )


async def serve() -> None:
    """Serves until SIGTERM."""
    app = web.Application()
    async with staff() as connections, open_house(Chaos()) as stop:
        app.add_routes(Counter(connections).routes())
        async with serving(app, port(8080)):
            await stop.wait()
