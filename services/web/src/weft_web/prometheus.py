"""Instant queries to Prometheus: bounded, with a time limit, each expression asked at most once a second."""

import asyncio
import math
from collections.abc import Callable

import aiohttp
import msgspec
from aiohttp import ClientTimeout

from weft_web.table import Sample

PARALLEL = 12
TIMEOUT_SECONDS = 8
CACHE_SECONDS = 1.0


class PrometheusError(Exception):
    """Prometheus could not be asked, or did not understand; the text is for people."""


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    result: list[_Series] = []


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""


_decoder = msgspec.json.Decoder(_Answer)


class Prometheus:
    """Asks one Prometheus. Who asks the same within a second shares the answer."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, observe: Callable[[float, bool], None] = lambda *_: None
    ) -> None:
        self.url = url.rstrip("/")
        self._session = session
        self._observe = observe
        self._gate = asyncio.Semaphore(PARALLEL)
        self._answers: dict[str, tuple[float, asyncio.Future[list[Sample]]]] = {}

    async def query(self, expression: str) -> list[Sample]:
        """The newest value of each series; NaN is left out. Raises PrometheusError."""
        while True:
            self._forget()
            held = self._answers.get(expression)
            if held is None:
                return await self._first(expression)
            await asyncio.wait([held[1]])
            if not held[1].cancelled():
                return held[1].result()

    def _forget(self) -> None:
        oldest = asyncio.get_running_loop().time() - CACHE_SECONDS
        old = [key for key, (asked, future) in self._answers.items() if future.done() and asked < oldest]
        for key in old:
            del self._answers[key]

    async def _first(self, expression: str) -> list[Sample]:
        """Asks for all who wait. If this caller goes away meanwhile, the next one asks again."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Sample]] = loop.create_future()
        self._answers[expression] = (loop.time(), future)
        try:
            future.set_result(await self._ask(expression))
        except PrometheusError as error:
            future.set_exception(error)
        finally:
            if not future.done():
                future.cancel()
                del self._answers[expression]
        return future.result()

    async def _ask(self, expression: str) -> list[Sample]:
        started = asyncio.get_running_loop().time()
        try:
            answer = _decoder.decode(await self._post(expression))
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError) as error:
            self._observe(asyncio.get_running_loop().time() - started, False)
            cause = str(error) or f"no answer in {TIMEOUT_SECONDS} s"
            raise PrometheusError(f"Prometheus at {self.url} cannot be asked: {cause}") from error
        self._observe(asyncio.get_running_loop().time() - started, answer.status == "success")
        if answer.data is None or answer.status != "success":
            raise PrometheusError(f"Prometheus refused a query: {answer.error}")
        samples = (Sample(series.metric, float(series.value[1])) for series in answer.data.result)
        return [sample for sample in samples if not math.isnan(sample.value)]

    async def _post(self, expression: str) -> bytes:
        async with (
            self._gate,
            self._session.post(
                f"{self.url}/api/v1/query",
                data={"query": expression, "timeout": f"{TIMEOUT_SECONDS}s"},
                timeout=ClientTimeout(total=TIMEOUT_SECONDS),
            ) as response,
        ):
            return await response.read()
