"""Who asks the same within a moment shares one answer, or one refusal."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

KEPT_SECONDS = 1.0
LONGEST_SECONDS = 5.0
KEPT_SHARE = 4
"""An answer is kept for a second, or for four times as long as it took, up to five: one scrape's interval."""


@dataclass(slots=True)
class _Held:
    """An answer, or that somebody is asking."""

    future: asyncio.Future[Any]
    until: float = math.inf


class Shared:
    """Answers by what was asked; `refusal` is the exception that all who ask the same get.

    With `longest` 0 an answer is shared by those only who wait for it.
    """

    def __init__(self, refusal: type[Exception], longest: float = LONGEST_SECONDS) -> None:
        self._refusal = refusal
        self._longest = longest
        self._held: dict[Hashable, _Held] = {}

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer that is there or on its way, else a new one."""
        while True:
            self._forget()
            held = self._held.get(key)
            if held is None:
                return await self._first(key, ask)
            await asyncio.wait([held.future])
            if not held.future.cancelled():
                found: T = held.future.result()
                return found

    def _forget(self) -> None:
        now = asyncio.get_running_loop().time()
        for key in [key for key, held in self._held.items() if held.until < now]:
            del self._held[key]

    async def _first(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """Asks for all who wait. If this caller goes away meanwhile, the next one asks again."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        future: asyncio.Future[T] = loop.create_future()
        held = self._held[key] = _Held(future)
        try:
            future.set_result(await ask())
        except self._refusal as error:
            future.set_exception(error)
        finally:
            held.until = loop.time() + min(self._longest, max(KEPT_SECONDS, KEPT_SHARE * (loop.time() - started)))
            if not future.done():
                future.cancel()
                del self._held[key]
        return future.result()
