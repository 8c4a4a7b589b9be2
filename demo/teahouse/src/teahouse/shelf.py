"""shelf: stock of leaves behind a subset of the Redis protocol (RESP2): PING, GET, SET, INCRBY, DECRBY."""

import asyncio

from teahouse.chaos import Chaos
from teahouse.frame import open_house, port, setting

MAX_ARGUMENTS = 16
MAX_BYTES = 4096


class ProtocolError(Exception):
    """The other side does not speak RESP."""


async def read_command(reader: asyncio.StreamReader) -> list[bytes]:
    """One command as a RESP array of bulk strings; empty at the end of the connection."""
    head = await reader.readline()
    if not head:
        return []
    arguments = []
    for _ in range(_number(head, b"*", MAX_ARGUMENTS)):
        size = _number(await reader.readline(), b"$", MAX_BYTES)
        arguments.append((await reader.readexactly(size + 2))[:-2])
    return arguments


def _number(line: bytes, mark: bytes, limit: int) -> int:
    if line[:1] != mark or not line[1:].strip().isdigit() or int(line[1:]) > limit:
        raise ProtocolError(f"expected {mark.decode()} and a number up to {limit}")
    return int(line[1:])


def answer(stock: dict[bytes, int], command: list[bytes]) -> bytes:
    """Applies one command to the stock and gives the RESP reply."""
    try:
        match [command[0].upper(), *command[1:]]:
            case [b"PING"]:
                return b"+PONG\r\n"
            case [b"GET", key]:
                value = stock.get(key)
                return b"$-1\r\n" if value is None else b"$%d\r\n%d\r\n" % (len(str(value)), value)
            case [b"SET", key, value]:
                stock[key] = int(value)
                return b"+OK\r\n"
            case [b"INCRBY" | b"DECRBY" as verb, key, by]:
                stock[key] = stock.get(key, 0) + (int(by) if verb == b"INCRBY" else -int(by))
                return b":%d\r\n" % stock[key]
    except ValueError:
        return b"-ERR value is not an integer\r\n"
    return b"-ERR unknown command\r\n"


class Shelf:
    """The stock, and the server that shares it."""

    def __init__(self) -> None:
        self.stock: dict[bytes, int] = {}

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers commands until the client leaves."""
        try:
            while command := await read_command(reader):
                writer.write(answer(self.stock, command))
                await writer.drain()
        except (ProtocolError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def take_leaves(host: str, at: int, tea: str) -> int:
    """Takes one portion of a tea from the shelf; returns what is left."""
    reader, writer = await asyncio.open_connection(host, at)
    try:
        key = tea.encode()
        writer.write(b"*3\r\n$6\r\nDECRBY\r\n$%d\r\n%s\r\n$1\r\n1\r\n" % (len(key), key))
        reply = await reader.readline()
        if not reply.startswith(b":"):
            raise ProtocolError(f"the shelf answered {reply!r}")
        return int(reply[1:])
    finally:
        writer.close()


async def serve() -> None:
    """Serves until SIGTERM."""
    async with open_house(Chaos()) as stop:
        server = await asyncio.start_server(Shelf().serve_connection, setting("HOST", "") or None, port(6379))
        async with server:
            await stop.wait()
