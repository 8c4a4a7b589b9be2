"""How a process ends: servers drain, watches end after them, failures end everything."""

import asyncio
import resource

import pytest
from weft_runtime.run import raise_open_files, until


async def test_watches_outlive_servers() -> None:
    """A server that drains still has its watches running."""
    order: list[str] = []
    stop = asyncio.Event()

    async def server() -> None:
        await stop.wait()
        order.append("drained")

    async def watch() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("watch ended")

    asyncio.get_running_loop().call_soon(stop.set)
    await until(stop, servers=[server()], watches=[watch()])
    assert order == ["drained", "watch ended"]


async def test_a_watch_that_fails_ends_the_process() -> None:
    """Its error is told, rather than being served with old state for ever."""

    async def server() -> None:
        await asyncio.Event().wait()

    async def watch() -> None:
        raise RuntimeError("broken")

    with pytest.raises(ExceptionGroup) as error:
        await until(asyncio.Event(), servers=[server()], watches=[watch()])
    assert str(error.value.exceptions[0]) == "broken"


def test_as_many_open_files_as_allowed() -> None:
    """A runtime's low soft limit does not limit how many proxies can connect."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    raise_open_files()
    after = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert after == (before[1], before[1])
