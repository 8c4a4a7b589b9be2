"""Queries to Prometheus: bounded in number, time and size; who asks the same within a moment shares the answer."""

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from weft_http.client import Client

from weft_web.credentials import UNTRUSTED, Shown, refusal
from weft_web.promql import narrower
from weft_web.shared import Shared
from weft_web.table import Labels, Sample, Span

PARALLEL = 12
TIMEOUT_SECONDS = 8.0
"""For one query, the wait for others included."""
NO_ANSWER = f"no answer in {TIMEOUT_SECONDS:g} s"
ANSWER_BYTES = 16 * 2**20
"""About 100,000 series."""

FORM = {"Content-Type": "application/x-www-form-urlencoded"}

SCRAPE_SECONDS = 5.0


class PrometheusError(Exception):
    """Prometheus could not be asked, or did not understand; the text is for people: cause and, if known, next step."""

    def __init__(self, cause: str, step: str = "") -> None:
        super().__init__(f"{cause}: {step}" if step else cause)
        self.cause = cause
        self.step = step


class _Series(msgspec.Struct, gc=False):
    metric: Labels
    value: tuple[float, str] = (0, "NaN")
    values: list[tuple[float, str]] = []


class _Data(msgspec.Struct):
    result: list[_Series] = []


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""


_decoder = msgspec.json.Decoder(_Answer)
T = TypeVar("T")
A = TypeVar("A")
_Question = tuple[tuple[str, str], ...]


def _samples(found: list[_Series]) -> list[Sample]:
    return [Sample(series.metric, float(series.value[1])) for series in found if series.value[1] != "NaN"]


def _spans(found: list[_Series]) -> list[Span]:
    return [Span(series.metric, {time: float(value) for time, value in series.values}) for series in found]


def _told(error: Exception) -> tuple[str, str]:
    """Cause and next step, if one is known."""
    if isinstance(error, PrometheusError):
        return error.cause, error.step
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})", UNTRUSTED
    return str(error) or NO_ANSWER, ""


async def known(asked: Awaitable[A], nothing: A) -> tuple[A, list[str]]:
    """What was asked and no warning; or nothing, and why."""
    try:
        return await asked, []
    except PrometheusError as error:
        return nothing, [str(error)]


class Prometheus:
    """Asks one Prometheus."""

    def __init__(
        self,
        url: str,
        observe: Callable[[float, bool], None] = lambda *_: None,
        shown: Callable[[], Shown] = Shown,
    ) -> None:
        self.url = url.rstrip("/")
        self._shown = shown
        self._client: Client | None = None
        self._authority = ""
        self._observe = observe
        self._gate = asyncio.Semaphore(PARALLEL)
        self._answers = Shared(PrometheusError)
        self._answered = -math.inf
        self._silent_until = -math.inf

    def close(self) -> None:
        """Ends what is idle."""
        if self._client:
            self._client.close()

    async def query(self, expression: str) -> list[Sample]:
        """The newest value of each series; NaN is left out. Raises PrometheusError."""
        return await self._shared((("query", expression),), _samples)

    async def range(self, expression: str, start: int, end: int, step: int) -> list[Span]:
        """The values of each series from `start` to `end` (seconds since the epoch), every `step` seconds."""
        span = ("query", expression), ("start", str(start)), ("end", str(end)), ("step", str(step))
        return await self._shared(span, _spans)

    async def _shared(self, key: _Question, read: Callable[[list[_Series]], list[T]]) -> list[T]:
        async def ask() -> list[T]:
            return read(await self._ask(dict(key)))

        return await self._answers.get(key, ask)

    async def _ask(self, parameters: dict[str, str]) -> list[_Series]:
        started = asyncio.get_running_loop().time()
        if started < self._silent_until:
            raise self._cannot(NO_ANSWER)
        try:
            answer = _decoder.decode(await self._post(parameters))
        except (OSError, TimeoutError, msgspec.DecodeError, ValueError, PrometheusError) as error:
            self._failed(started, error)
            raise self._cannot(*_told(error)) from error
        self._answered = asyncio.get_running_loop().time()
        self._observe(asyncio.get_running_loop().time() - started, answer.status == "success")
        if answer.data is None or answer.status != "success":
            raise PrometheusError(f"Prometheus refused a query: {answer.error}")
        return answer.data.result

    def _failed(self, started: float, error: Exception) -> None:
        """When nobody at all was answered meanwhile, nobody needs to wait as long again for a while."""
        now = asyncio.get_running_loop().time()
        self._observe(now - started, False)
        if isinstance(error, TimeoutError) and self._answered < started:
            self._silent_until = now + SCRAPE_SECONDS

    def _cannot(self, cause: str, step: str = "") -> PrometheusError:
        return PrometheusError(f"Prometheus at {self.url} cannot be asked: {cause}", step)

    def _trusting(self, shown: Shown) -> Client:
        """A client that knows the server by the authority of now."""
        if self._client is None or shown.authority != self._authority:
            trust = shown.trust(self.url)
            self.close()
            self._client, self._authority = Client(self.url, trust), shown.authority
        return self._client

    async def _post(self, parameters: dict[str, str]) -> bytes:
        target = quote(urlsplit(self.url).path) + "/api/v1/" + ("query_range" if "step" in parameters else "query")
        form = urlencode({**parameters, "timeout": f"{TIMEOUT_SECONDS:g}s"}).encode()
        shown = self._shown()
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            self._gate,
            self._trusting(shown).request("POST", target, {**FORM, **shown.headers}, form) as answer,
        ):
            if answer.status in (401, 403):
                raise PrometheusError(*refusal(answer.status, shown))
            body = bytearray()
            async for part in answer.parts():
                body += part
                if len(body) > ANSWER_BYTES:
                    instead = narrower(parameters["query"])
                    raise PrometheusError(f"the answer has more than {ANSWER_BYTES // 2**20} MiB", instead)
            if answer.status >= 300 and not body.startswith(b"{"):
                raise PrometheusError(f"it answered {answer.status}", "is viz.web.prometheusUrl right, path included?")
            return bytes(body)
