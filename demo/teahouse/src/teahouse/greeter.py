"""greeter: TCP where the server speaks first."""

import asyncio

from teahouse.chaos import Chaos
from teahouse.frame import open_house, port, setting

WELCOME = b"Welcome to the teahouse. Who is there?\n"


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Welcomes, asks the name, wishes a good cup."""
    try:
        writer.write(WELCOME)
        name = (await reader.readline()).strip()[:80]
        writer.write(b"Enjoy your cup, %s.\n" % name)
        await writer.drain()
    except (ConnectionError, ValueError):
        pass
    finally:
        writer.close()


async def ask(host: str, at: int, name: str) -> str:
    """Waits to be welcomed, says the name, returns the wish."""
    reader, writer = await asyncio.open_connection(host, at)
    try:
        await reader.readline()
        writer.write(name.encode() + b"\n")
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


async def serve() -> None:
    """Serves until SIGTERM."""
    async with open_house(Chaos()) as stop:
        server = await asyncio.start_server(greet, setting("HOST", "") or None, port(7777))
        async with server:
            await stop.wait()
