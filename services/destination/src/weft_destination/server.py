"""discovery/v1 over gRPC: admits proxies, runs their streams, and sends them elsewhere when this process stops."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Collection
from typing import Any

import grpc
import structlog
from weft_kube.names import CLIENT_ADDRESS, CLIENT_ID
from weft_runtime.config import Address

from weft_destination import encode
from weft_destination.hub import Hub
from weft_destination.metrics import Metrics
from weft_destination.shares import STREAMS_EACH, Shares
from weft_destination.stream import MAX_REQUEST, Outcome, RefusedError, Stream

log = structlog.get_logger()

SERVICE = "weft.discovery.v1.Discovery"
MAX_STREAMS = 10_000
"""More proxies than this are sent to another replica: about 42 KB each."""

MAX_AGE_SECONDS = 1800.0
REBALANCE_SECONDS = 10.0
"""Streams older than MAX_AGE_SECONDS are asked to connect again, a few every REBALANCE_SECONDS, so that a replica that
started later gets its share; a stream is ended after twice MAX_AGE_SECONDS at most."""

HELLO_SECONDS = 10.0
DRAIN_SECONDS = 3.0
"""On stop, streams end one after another within this, so that not all proxies come to another replica at once."""

OPTIONS: list[tuple[str, int]] = [
    ("grpc.so_reuseport", 0),
    # Nobody asks for it, and it takes 1 KB for each stream.
    ("grpc.enable_channelz", 0),
    # Room for four sends without a copy, which nobody has switched on, takes 650 bytes for each connection.
    ("grpc.experimental.tcp_tx_zerocopy_max_simultaneous_sends", 1),
    # Above MAX_REQUEST the stream refuses, above this gRPC itself, which looks to the stream as if the proxy had left:
    # the proxy before this process counts it. A message that never ends is held as far as it has come, and one caller
    # may have as many as streams.
    ("grpc.max_receive_message_length", 8 * MAX_REQUEST),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Proxies may ping every 10 s, also while nothing happens; the default answers that with "too many pings".
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    # A storm of proxies that come back waits here to be let in. gRPC's default of 1,000 sends the others away at once,
    # and their next attempts cost more than letting them in; those that are connected are served all the time.
    ("grpc.server.max_pending_requests", MAX_STREAMS),
    ("grpc.server.max_pending_requests_hard_limit", MAX_STREAMS),
]

Context = grpc.aio.ServicerContext[bytes, bytes]

LEFT = Outcome(grpc.StatusCode.CANCELLED, "by the proxy")
DRAINING = Outcome(grpc.StatusCode.UNAVAILABLE, "destination is stopping: connect again")
AGED = Outcome(grpc.StatusCode.UNAVAILABLE, "the stream is old: connect again, to whichever replica")
FULL = Outcome(grpc.StatusCode.UNAVAILABLE, "this replica serves as many proxies as it can: connect again")
TOO_MANY = Outcome(
    grpc.StatusCode.RESOURCE_EXHAUSTED, f"{STREAMS_EACH} streams of this identity and address are open: close one"
)


class Server:
    """The Discovery service. With `allow_anonymous`, callers without identity are believed (tests only)."""

    def __init__(
        self,
        hub: Hub,
        metrics: Metrics,
        trust_domain: str,
        *,
        allow_anonymous: bool = False,
        max_streams: int = MAX_STREAMS,
    ) -> None:
        self._hub = hub
        self.metrics = metrics
        self._identities = f"spiffe://{trust_domain}/ns/"
        self._allow_anonymous = allow_anonymous
        self._max_streams = max_streams
        self._shares = Shares()
        self.streams: set[Stream] = set()
        """The proxies connected now."""
        metrics.streams.set_function(lambda: len(self.streams))
        metrics.targets.set_function(lambda: len(hub))
        self.started = asyncio.Event()
        self.port = 0
        """The port listened on, once started."""

    async def serve(self, listen: Address, stop: asyncio.Event) -> None:
        """Serves until `stop`, then sends every proxy elsewhere."""
        server = grpc.aio.server(options=OPTIONS)
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self._subscribe)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"Subscribe": handler})])
        self.port = server.add_insecure_port(str(listen))
        await server.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                endless = [tasks.create_task(self._beat()), tasks.create_task(self._rebalance())]
                self.started.set()
                await stop.wait()
                for task in endless:
                    task.cancel()
                tasks.create_task(server.stop(DRAIN_SECONDS + 2))
                tasks.create_task(self._drain())
        finally:
            await server.stop(0)

    async def _beat(self) -> None:
        """Heartbeats of all streams, spread over the interval."""
        while True:
            streams = list(self.streams)
            steps = 1 + len(streams) // 100
            for step in range(steps):
                await asyncio.sleep(encode.HEARTBEAT_SECONDS / steps)
                for stream in streams[step::steps]:
                    stream.beat()

    async def _rebalance(self) -> None:
        while True:
            await asyncio.sleep(REBALANCE_SECONDS)
            for stream in aged(self.streams, time.monotonic()):
                stream.end(AGED)

    async def _drain(self) -> None:
        streams = list(self.streams)
        for number, stream in enumerate(streams):
            stream.end(DRAINING)
            if number % 100 == 99:
                await asyncio.sleep(DRAIN_SECONDS * 100 / len(streams))

    async def _subscribe(self, _: AsyncIterator[bytes], context: Context) -> None:
        if len(self._shares) >= self._max_streams:
            return await self._finish(context, FULL)
        caller = hash(_caller(context))
        share = self._shares.enter(caller)
        if share is None:
            log.warning("stream refused", caller=_caller(context), reason=TOO_MANY.message)
            return await self._finish(context, TOO_MANY)
        outcome = LEFT
        try:
            stream = Stream(await self._greet(context), self._hub, self.metrics, share)
            self.streams.add(stream)
            # Neither a TaskGroup nor context managers nor coroutines that wait: each takes up to 1 KB for as long as
            # the stream lives.
            reading = asyncio.create_task(stream.read(context.read), name="reading")  # noqa: TID251
            try:
                while stream.outcome is None:
                    await stream.news()
                    await stream.write(context.write)
                outcome = stream.outcome
            finally:
                reading.cancel()
                self._ended(stream, outcome)
        except RefusedError as error:
            outcome = error.outcome
        finally:
            self._shares.leave(caller)
        return await self._finish(context, outcome)

    def _ended(self, stream: Stream, outcome: Outcome) -> None:
        self.streams.discard(stream)
        stream.close()
        seconds = round(time.monotonic() - stream.began, 3)
        pod = f"{stream.hello.namespace}/{stream.hello.pod}"
        log.info("stream ended", pod=pod, outcome=outcome.code.name, reason=outcome.message, seconds=seconds)

    async def _finish(self, context: Context, outcome: Outcome) -> None:
        if outcome.code == grpc.StatusCode.OK:
            return
        if outcome not in (DRAINING, AGED):
            self.metrics.refusals.labels(outcome.code.name).inc()
        await context.abort(outcome.code, outcome.message)

    async def _greet(self, context: Context) -> encode.Hello:
        """The Hello, of the caller's own namespace."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                data: Any = await context.read()
            hello = encode.decode(data if isinstance(data, bytes) else b"", None)
        except TimeoutError:
            raise RefusedError(grpc.StatusCode.DEADLINE_EXCEEDED, f"no Hello within {HELLO_SECONDS:.0f} s") from None
        except encode.MalformedError as error:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        if not isinstance(hello, encode.Hello):
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "the first message must be a Hello")
        namespace = self._namespace(context)
        if namespace is not None and hello.namespace != namespace:
            raise RefusedError(grpc.StatusCode.PERMISSION_DENIED, f"{hello.namespace} is not the caller's namespace")
        return hello

    def _namespace(self, context: Context) -> str | None:
        """The namespace in the caller's SPIFFE ID; None when anybody is believed."""
        identity, _ = _caller(context)
        namespace, slash, account = identity.removeprefix(self._identities).partition("/sa/")
        if identity.startswith(self._identities) and slash and namespace and account:
            return namespace
        if self._allow_anonymous and not identity:
            return None
        raise RefusedError(grpc.StatusCode.PERMISSION_DENIED, "the caller has no identity in this mesh")


def _caller(context: Context) -> tuple[str, str]:
    """Identity and address of who called; each empty when not told."""
    metadata = dict(context.invocation_metadata() or ())
    return str(metadata.get(CLIENT_ID, "")), str(metadata.get(CLIENT_ADDRESS, ""))


def aged(streams: Collection[Stream], now: float) -> list[Stream]:
    """The oldest of the streams that are too old: so many that a round of all takes MAX_AGE_SECONDS."""
    old = [stream for stream in streams if now - stream.began > MAX_AGE_SECONDS]
    share = math.ceil(len(streams) * REBALANCE_SECONDS / MAX_AGE_SECONDS)
    return sorted(old, key=lambda stream: stream.began)[:share]
