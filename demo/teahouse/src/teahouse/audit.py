"""nightly-audit: a job that asks for the menu and a few puffs of steam, then ends."""

import grpc

from teahouse.frame import setting
from teahouse.v1 import teahouse_pb2 as pb
from teahouse.v1 import teahouse_pb2_grpc as rpc


async def serve() -> int:
    """Prints what it found; 1 when a role does not answer."""
    try:
        async with (
            grpc.aio.insecure_channel(setting("MENU", "menu:9090")) as menu,
            grpc.aio.insecure_channel(setting("KETTLE", "kettle:9090")) as kettle,
        ):
            teas = (await rpc.MenuStub(menu).ListTeas(pb.ListTeasRequest(), timeout=10)).teas
            puffs = [puff async for puff in rpc.KettleStub(kettle).Steam(pb.SteamRequest(puffs=3), timeout=10)]
    except grpc.aio.AioRpcError as error:
        print(f"audit failed: {error.code().name}: {error.details()}")
        return 1
    print(f"audit passed: {len(teas)} teas, {len(puffs)} puffs of steam")
    return 0
