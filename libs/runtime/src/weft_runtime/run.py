"""The frame of every process: configuration, logs, signals, one stop event."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import structlog

from weft_runtime import logs
from weft_runtime.config import EX_CONFIG, ConfigError, load

C = TypeVar("C")


def run(service: str, config_class: type[C], serve: Callable[[C, asyncio.Event], Awaitable[None]]) -> int:
    """Runs `serve(config, stop)` until it returns; SIGTERM and SIGINT set `stop`. Returns the exit code.

    The configuration has a field `log_level` (parsed by `logs.level`).
    """
    try:
        config = load(config_class, os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    raise_open_files()
    logs.setup(service, config.log_level)  # type: ignore[attr-defined]
    return asyncio.run(_serve(config, serve))


def raise_open_files() -> None:
    """As many open files as allowed: container runtimes begin with 1,024, fewer than the proxies of one replica."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(config: C, serve: Callable[[C, asyncio.Event], Awaitable[None]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = structlog.get_logger()
    log.info("started")
    try:
        await serve(config, stop)
    except Exception:
        log.exception("failed")
        return 1
    log.info("stopped")
    return 0


async def until(
    stop: asyncio.Event, *, servers: Iterable[Coroutine[Any, Any, None]], watches: Iterable[Coroutine[Any, Any, None]]
) -> None:
    """Runs servers, which return after `stop` when drained, beside endless watches, which end after the servers.

    Work that fails ends the rest and raises its error.
    """
    async with asyncio.TaskGroup() as endless:
        running = [endless.create_task(watch) for watch in watches]
        async with asyncio.TaskGroup() as draining:
            for server in servers:
                draining.create_task(server)
            draining.create_task(_wait(stop))
        for task in running:
            task.cancel()


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()
