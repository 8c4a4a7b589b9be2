"""menu: gRPC, healthy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from teahouse.chaos import Chaos
from teahouse.frame import open_house, port
from teahouse.teas import TEAS
from teahouse.v1 import teahouse_pb2 as pb
from teahouse.v1 import teahouse_pb2_grpc as rpc

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class Menu(rpc.MenuServicer):
    """Answers from the list of teas."""

    async def ListTeas(self, request: pb.ListTeasRequest, context: Context) -> pb.ListTeasResponse:
        """All teas."""
        return pb.ListTeasResponse(teas=TEAS.values())

    async def FindTea(self, request: pb.FindTeaRequest, context: Context) -> pb.Tea:
        """One tea by its name."""
        if request.name not in TEAS:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name!r} is not on the menu")
        return TEAS[request.name]


async def serve() -> None:
    """Serves until SIGTERM."""
    server = grpc.aio.server()
    rpc.add_MenuServicer_to_server(Menu(), server)
    server.add_insecure_port(f"[::]:{port(9090)}")
    async with open_house(Chaos()) as stop:
        await server.start()
        await stop.wait()
        await server.stop(grace=5)
