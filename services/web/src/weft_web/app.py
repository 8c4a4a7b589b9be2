"""Wiring of web, in start order."""

import asyncio
from functools import partial

import structlog
from weft_http.routes import Handler
from weft_kube.api import Cluster, KubeApi
from weft_kube.metrics import WatchCollector
from weft_kube.objects import Object, Pod
from weft_kube.watch import Reflector, Resource
from weft_kube.workloads import KINDS
from weft_runtime.admin import admin_routes, serve_http
from weft_runtime.config import Address
from weft_runtime.run import until
from weft_runtime.version import version

from weft_web import credentials
from weft_web.access import Access
from weft_web.catalog import DECODED, Catalog, Revision
from weft_web.config import Config
from weft_web.mesh import Mesh
from weft_web.metrics import Metrics
from weft_web.model import Version
from weft_web.prometheus import Prometheus
from weft_web.server import admin, application
from weft_web.static import Static
from weft_web.views import Views

log = structlog.get_logger()
Listener = tuple[Address, Handler]


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Runs web until `stop`."""
    metrics = Metrics(version("weft-web"))
    catalog = Catalog(kind.name for kind in KINDS if kind.name != "pod")
    async with KubeApi(Cluster.in_cluster(config.kube_host, config.kube_port)) as api:
        reflectors = watches(api, catalog)
        states = {kind: reflector.state for kind, reflector in reflectors.items()}
        metrics.registry.register(WatchCollector("weft_web", states))
        prometheus = asked(config, metrics)
        told = Version(version("weft-web"), config.grafana_url or None, config.dashboard_tap)
        views = Views(api, catalog, prometheus, told, Mesh(config.namespace, config.trust_domain, told.version))
        conditions = {kind: state.synced for kind, state in states.items()}
        admin_server = admin(admin_routes(metrics.registry, conditions), catalog, config.namespace)
        listening: list[Listener] = [(config.admin_listen, admin_server), *listeners(config, views, api, metrics)]
        await until(
            stop,
            servers=[serve_http(handler, address, stop) for address, handler in listening],
            watches=[reflector.run() for reflector in reflectors.values()],
        )


def asked(config: Config, metrics: Metrics) -> Prometheus:
    """Prometheus, shown what its Secret says at each question."""
    shown = partial(credentials.read, config.prometheus_credentials)
    if "Authorization" in shown().headers and credentials.in_the_clear(config.prometheus_url):
        log.warning("credentials of Prometheus go unencrypted", url=config.prometheus_url, step="use https")
    return Prometheus(config.prometheus_url, metrics.query, shown)


def listeners(config: Config, views: Views, api: KubeApi, metrics: Metrics) -> list[Listener]:
    """Who may port-forward to the pod asks on its loopback; all others, where that is wanted, with a token."""
    static, hosts = Static(config.static), config.allowed_hosts
    found = [(config.listen, application(views, api, static, metrics, hosts=hosts))]
    if config.exposed_listen:
        access = Access(api, config.namespace)
        found.append((config.exposed_listen, application(views, api, static, metrics, hosts=hosts, access=access)))
    return found


def watches(api: KubeApi, catalog: Catalog) -> dict[str, Reflector[Pod] | Reflector[Object] | Reflector[Revision]]:
    """One reflector for each kind."""

    def failed(error: Exception) -> None:
        log.warning("watch failed", reason=str(error))

    found: dict[str, Reflector[Pod] | Reflector[Object] | Reflector[Revision]] = {
        kind.plural: Reflector(
            api, Resource(kind.path, DECODED.get(kind.name, Object)), catalog.stores[kind.name], on_error=failed
        )
        for kind in KINDS
        if kind.name != "pod"
    }
    found["pods"] = Reflector(api, Resource("/api/v1/pods", Pod), catalog.pod_store, on_error=failed)
    revisions = Resource("/apis/apps/v1/controllerrevisions", Revision)
    found["controllerrevisions"] = Reflector(api, revisions, catalog.revision_store, on_error=failed)
    return found
