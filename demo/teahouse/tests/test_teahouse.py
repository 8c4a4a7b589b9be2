"""The house as its guests meet it: real servers, in one process."""

import asyncio
import random
from collections import Counter as Count
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from teahouse import cashier, greeter, loyalty
from teahouse.chaos import Chaos
from teahouse.counter import Counter, Staff
from teahouse.crowd import Plan, calls, crowd
from teahouse.kettle import Kettle
from teahouse.menu import Menu
from teahouse.shelf import Shelf, answer
from teahouse.v1 import teahouse_pb2_grpc as rpc

CALM = {"CHAOS_SLOW": "0"}


@asynccontextmanager
async def tcp(handler: object) -> AsyncIterator[int]:
    """A TCP server on a free port of the loopback."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)  # type: ignore[arg-type]
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def house(chaos: Chaos) -> AsyncIterator[str]:
    """All roles; yields the counter's URL."""
    grpc_server = grpc.aio.server()
    async with (
        tcp(Shelf().serve_connection) as shelf,
        tcp(greeter.greet) as hall,
        TestServer(cashier.application()) as till,
        TestServer(loyalty.application(chaos)) as points,
        aiohttp.ClientSession() as http,
    ):
        rpc.add_MenuServicer_to_server(Menu(), grpc_server)
        rpc.add_KettleServicer_to_server(Kettle(chaos, "127.0.0.1", shelf), grpc_server)
        port = grpc_server.add_insecure_port("127.0.0.1:0")
        await grpc_server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            app = aiohttp.web.Application()
            urls = (str(till.make_url("")).rstrip("/"), str(points.make_url("")).rstrip("/"))
            staff = Staff(rpc.MenuStub(channel), rpc.KettleStub(channel), http, *urls, ("127.0.0.1", hall))
            app.add_routes(Counter(staff).routes())
            async with TestServer(app) as server:
                yield str(server.make_url("")).rstrip("/")
        await grpc_server.stop(None)


async def post(url: str) -> tuple[int, dict[str, object]]:
    """Status and body of a POST."""
    async with aiohttp.ClientSession() as session, session.post(url) as response:
        return response.status, await response.json()


async def test_a_cup_passes_through_every_role() -> None:
    """An order is brewed, charged at the menu's price, and earns a point."""
    async with house(Chaos(CALM)) as url:
        assert await post(f"{url}/api/orders?tea=sencha&guest=mia") == (
            200,
            {"tea": "sencha", "total": 390, "points": 1},
        )


async def test_oolong_fails_and_says_that_it_is_on_purpose() -> None:
    """The planted fault is a 500 that names the role's gRPC status."""
    async with house(Chaos(CALM)) as url:
        status, body = await post(f"{url}/api/orders?tea=oolong")

    assert (status, body["code"]) == (500, "INTERNAL")


async def test_the_fault_can_be_taken_away_at_run_time() -> None:
    """With chaos oolong 0 the same order succeeds."""
    chaos = Chaos(CALM)
    chaos.change({"oolong": 0})
    async with house(chaos) as url:
        assert (await post(f"{url}/api/orders?tea=oolong"))[0] == 200


async def test_a_tea_that_is_not_served_is_not_found() -> None:
    """An unknown tea is the guest's mistake, not the house's failure."""
    async with house(Chaos(CALM)) as url:
        assert (await post(f"{url}/api/orders?tea=coffee"))[0] == 404


async def test_the_greeter_speaks_first() -> None:
    """The server's first line comes without a byte from the client."""
    async with tcp(greeter.greet) as port:
        assert await greeter.ask("127.0.0.1", port, "mia") == "Enjoy your cup, mia."


async def test_the_crowds_totals_are_those_its_seed_foretells() -> None:
    """Every request of a bounded run is counted once, with the status that its tea gets."""
    rng = random.Random(7)  # noqa: S311
    expected: Count[str] = Count()
    plan = Plan(rate=2000, count=200, seed=7)
    for _ in range(plan.count):
        rng.expovariate(plan.rate)
        call = calls(rng, plan.oolong)
        expected["500" if "oolong" in call.path else "200"] += 1

    async with house(Chaos(CALM)) as url:
        totals = await crowd(url, plan, asyncio.Event())

    seen: Count[str] = Count()
    for (_, status), count in totals.seen.items():
        seen[status] += count
    assert expected == seen


@given(st.lists(st.tuples(st.sampled_from([b"INCRBY", b"DECRBY"]), st.integers(-100, 100))))
def test_the_shelf_adds_up(changes: list[tuple[bytes, int]]) -> None:
    """After any changes GET tells their sum."""
    stock = {b"tea": 0}
    for verb, by in changes:
        answer(stock, [verb, b"tea", b"%d" % by])

    total = sum(by if verb == b"INCRBY" else -by for verb, by in changes)
    assert b"$%d\r\n%d\r\n" % (len(str(total)), total) == answer(stock, [b"GET", b"tea"])


@pytest.mark.parametrize("wanted", [{"espresso": 1}, {"slow": 2}, {"slow": "often"}])
def test_unknown_faults_and_odds_are_refused(wanted: dict[str, object]) -> None:
    """A change is all right or not made."""
    chaos = Chaos({})
    with pytest.raises(ValueError, match=r"must be within 0 and 1|is none of"):
        chaos.change(wanted)
