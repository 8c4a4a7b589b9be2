"""The wiring of destination, in start order."""

import asyncio
import gc
from collections.abc import Iterable

import structlog
from weft_kube.api import Cluster, KubeApi
from weft_kube.lease import Lease
from weft_kube.watch import WatchState
from weft_runtime.admin import admin_routes, serve_http
from weft_runtime.run import until

from weft_destination.ask import MAX_BODY, askable
from weft_destination.config import Config
from weft_destination.hub import Hub
from weft_destination.index import Index
from weft_destination.inspect import inspected
from weft_destination.metrics import Metrics
from weft_destination.reports import Reports
from weft_destination.server import Server
from weft_destination.statuses import Statuses
from weft_destination.watches import reflectors

log = structlog.get_logger()

LEASE = "weft-destination"
"""Its holder writes statuses."""

REST_SECONDS = 60.0


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Runs destination in its pod until `stop`."""
    await serve_cluster(Cluster.in_cluster(config.kube_host, config.kube_port), config, stop)


async def serve_cluster(cluster: Cluster, config: Config, stop: asyncio.Event) -> None:
    """Runs destination for any cluster until `stop`."""
    async with KubeApi(cluster) as api:
        index = Index(config.default_access, config.trust_domain)
        hub = Hub(index)
        watches = reflectors(api, index, hub.facts_changed, config.trust_domain)
        states = {kind: reflector.state for kind, reflector in watches.items()}
        metrics = Metrics(states)
        metrics.count_faulty(index.faulty)
        server = Server(hub, metrics, config.trust_domain, allow_anonymous=config.allow_anonymous)
        conditions = {f"the list of {kind}": state.synced for kind, state in states.items()}
        admin = admin_routes(metrics.registry, conditions | {"the server": server.started})
        debugged = askable(inspected(admin, hub, server.streams), index, config.trust_domain)
        lease = Lease(api, config.namespace, LEASE, config.holder, on_error=_not_reached)
        metrics.leader.set_function(lambda: lease.held)

        async def lead() -> None:
            await _all_synced(states.values())
            await Statuses(api, index.reports).run()

        await until(
            stop,
            servers=[
                _serve_when_synced(server, config, states.values(), stop),
                serve_http(debugged, config.admin_listen, stop, max_body=MAX_BODY),
            ],
            watches=[
                *(reflector.run() for reflector in watches.values()),
                lease.lead(lead),
                _rest(index.reports, lease),
            ],
        )


async def _rest(reports: Reports, lease: Lease) -> None:
    """While another replica writes statuses, what it may have to write does not pile up here."""
    while True:
        await asyncio.sleep(REST_SECONDS)
        if not lease.held:
            reports.forget()


def _not_reached(error: Exception) -> None:
    log.warning("lease not renewed", error=str(error) or type(error).__name__)


async def _serve_when_synced(server: Server, config: Config, states: Iterable[WatchState], stop: asyncio.Event) -> None:
    """An index that is half full would call meshed pods unmeshed: nobody is answered before it is full."""
    async with asyncio.TaskGroup() as tasks:
        either = [tasks.create_task(_all_synced(states)), tasks.create_task(_stopped(stop))]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in either:
            task.cancel()
    if not stop.is_set():
        _settle_memory()
        await server.serve(config.listen, stop)


async def _all_synced(states: Iterable[WatchState]) -> None:
    for state in states:
        await state.synced.wait()


async def _stopped(stop: asyncio.Event) -> None:
    await stop.wait()


def _settle_memory() -> None:
    """What was listed stays: the collector need not look at it again, nor so often at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
