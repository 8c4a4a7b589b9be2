"""kettle: gRPC with one method for each tea; BrewOolong fails on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc

from teahouse.chaos import Chaos
from teahouse.frame import open_house, port, setting
from teahouse.shelf import take_leaves
from teahouse.v1 import teahouse_pb2 as pb
from teahouse.v1 import teahouse_pb2_grpc as rpc

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class Kettle(rpc.KettleServicer):
    """Brews: a portion of leaves from the shelf for each cup."""

    def __init__(self, chaos: Chaos, shelf_host: str, shelf_port: int) -> None:
        self._chaos = chaos
        self._shelf = (shelf_host, shelf_port)

    async def _brew(self, tea: str, context: Context) -> pb.Cup:
        try:
            left = await take_leaves(*self._shelf, tea)
        except OSError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"the shelf is out of reach: {error}")
        return pb.Cup(tea=tea, leaves_left=left)

    async def BrewAssam(self, request: pb.BrewRequest, context: Context) -> pb.Cup:
        return await self._brew("assam", context)

    async def BrewChai(self, request: pb.BrewRequest, context: Context) -> pb.Cup:
        return await self._brew("chai", context)

    async def BrewMatcha(self, request: pb.BrewRequest, context: Context) -> pb.Cup:
        return await self._brew("matcha", context)

    async def BrewOolong(self, request: pb.BrewRequest, context: Context) -> pb.Cup:
        """The planted fault."""
        if self._chaos.strikes("oolong"):
            await context.abort(grpc.StatusCode.INTERNAL, "Oolong is sold out: this failure is on purpose")
        return await self._brew("oolong", context)

    async def BrewRooibos(self, request: pb.BrewRequest, context: Context) -> pb.Cup:
        return await self._brew("rooibos", context)

    async def BrewSencha(self, request: pb.BrewRequest, context: Context) -> pb.Cup:
        return await self._brew("sencha", context)

    async def Steam(self, request: pb.SteamRequest, context: Context) -> AsyncIterator[pb.Puff]:
        """A puff every 100 ms."""
        for number in range(request.puffs):
            yield pb.Puff(number=number)
            await asyncio.sleep(0.1)


async def serve() -> None:
    """Serves until SIGTERM."""
    chaos = Chaos()
    server = grpc.aio.server()
    kettle = Kettle(chaos, setting("SHELF_HOST", "shelf"), int(setting("SHELF_TCP_PORT", "6379")))
    rpc.add_KettleServicer_to_server(kettle, server)
    server.add_insecure_port(f"[::]:{port(9090)}")
    async with open_house(chaos) as stop:
        await server.start()
        await stop.wait()
        await server.stop(grace=5)
