"""Identity's wiring, in start order."""

import asyncio
from typing import Any, TypeVar

import structlog
from prometheus_client import CollectorRegistry
from weft_kube.api import Cluster, KubeApi
from weft_kube.lease import Lease
from weft_kube.metrics import WatchCollector
from weft_kube.names import TRUST_BUNDLE
from weft_kube.objects import Namespace, Object
from weft_kube.watch import Reflector, Resource
from weft_runtime.admin import serve_admin
from weft_runtime.run import until

from weft_identity.anchors import Anchors
from weft_identity.bundle import ConfigMap, Copies, Namespaces
from weft_identity.config import Config
from weft_identity.events import Events
from weft_identity.ledger import NAME, Ledger, RotationMap
from weft_identity.maker import Maker
from weft_identity.metrics import Metrics
from weft_identity.publisher import Publisher
from weft_identity.rotator import Rotator
from weft_identity.secrets import ANCHOR, ISSUER, Secret, Secrets
from weft_identity.server import Identity, serve_grpc
from weft_identity.touch import Touch, TouchOnPhase

T = TypeVar("T", bound=Object)

LEASE = "weft-identity"


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Serves certificates until `stop`."""
    async with KubeApi(Cluster.in_cluster(config.kubernetes_host, config.kubernetes_port)) as api:
        await serve_with(config, api, stop)


async def serve_with(config: Config, api: KubeApi, stop: asyncio.Event) -> None:
    """Serves certificates, by the cluster behind `api`."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.lifetime.set(config.issuance_lifetime.total_seconds())
    changed, wished = asyncio.Event(), asyncio.Event()
    secrets, ledger = Secrets(api, config.namespace), Ledger(api, config.namespace)
    events = Events(api, config.namespace)
    anchors = Anchors(secrets, ledger, events, metrics, config.terms, on_change=changed.set)
    namespaces, copies = Namespaces(changed.set), Copies(changed.set)
    reflectors: dict[str, Reflector[Any]] = {
        "anchor": _secret(api, config, ANCHOR, anchors),
        "issuer": _secret(api, config, ISSUER, anchors),
        "rotation": _rotation(api, config, anchors, ledger, wished),
        "namespaces": Reflector(api, Resource("/api/v1/namespaces", Namespace), namespaces, on_error=_failed),
        "bundles": Reflector(api, _named("/api/v1/configmaps", ConfigMap, TRUST_BUNDLE), copies, on_error=_failed),
    }
    registry.register(WatchCollector("weft_identity", {name: each.state for name, each in reflectors.items()}))
    maker = Maker(secrets, config.terms)
    publisher = Publisher(api, anchors, maker, namespaces, copies, metrics=metrics)
    rotator = Rotator(api, secrets, anchors, maker, ledger, metrics=metrics, terms=config.terms)
    lease = Lease(api, config.namespace, LEASE, config.holder, on_error=_failed)
    metrics.leader.set_function(lambda: lease.held)
    synced = [reflectors[name].state.synced for name in ("namespaces", "bundles")]

    async def lead() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publisher.run(changed, synced))
            tasks.create_task(rotator.run(wished))

    servicer = Identity(api, anchors, ledger, metrics, config.terms)
    admin = serve_admin(registry, {"issuer": anchors.ready}, config.admin_listen, stop)
    await until(
        stop,
        servers=[serve_grpc(servicer, config.listen, stop), admin],
        watches=[anchors.run(), ledger.run(), lease.lead(lead), *(each.run() for each in reflectors.values())],
    )


def _secret(api: KubeApi, config: Config, name: str, anchors: Anchors) -> Reflector[Secret]:
    resource = _named(f"/api/v1/namespaces/{config.namespace}/secrets", Secret, name)
    return Reflector(api, resource, Touch(anchors.touch), on_error=_failed)


def _rotation(
    api: KubeApi, config: Config, anchors: Anchors, ledger: Ledger, wished: asyncio.Event
) -> Reflector[RotationMap]:
    def touch() -> None:
        anchors.touch()
        wished.set()

    resource = _named(f"/api/v1/namespaces/{config.namespace}/configmaps", RotationMap, NAME)
    return Reflector(api, resource, TouchOnPhase(touch, ledger), on_error=_failed)


def _named(path: str, kind: type[T], name: str) -> Resource[T]:
    """Objects of one name: the only ones that identity may read."""
    return Resource(path, kind, field_selector=f"metadata.name={name}")


def _failed(error: Exception) -> None:
    structlog.get_logger().warning("kubernetes not reached", reason=str(error) or type(error).__name__)
