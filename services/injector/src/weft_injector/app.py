"""The injector's wiring, in start order."""

import asyncio

import msgspec
import structlog
from prometheus_client import CollectorRegistry
from weft_kube.api import Cluster, KubeApi
from weft_kube.metrics import WatchCollector
from weft_kube.objects import Meta, Namespace
from weft_kube.watch import Reflector, Resource
from weft_runtime.admin import serve_admin, serve_http
from weft_runtime.run import until
from weft_sidecar.template import Template
from weft_webhook.ca_bundle import mutating_webhook
from weft_webhook.server import MAX_BODY, webhook_routes
from weft_webhook.serving import ServingCertificate

from weft_injector.config import Config
from weft_injector.events import Recorder
from weft_injector.metrics import Metrics
from weft_injector.namespaces import Namespaces
from weft_injector.owners import Owners
from weft_injector.review import Reviewer

PATH = "/inject"


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Serves reviews until `stop`."""
    cluster = Cluster.in_cluster(config.kubernetes_host, config.kubernetes_port)
    async with KubeApi(cluster) as api:
        await serve_with(config, api, stop)


async def serve_with(config: Config, api: KubeApi, stop: asyncio.Event) -> None:
    """Serves reviews, by the cluster behind `api`."""
    template = msgspec.json.decode((config.template / "template.json").read_bytes(), type=Template)
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    log = structlog.get_logger()

    namespaces = Namespaces()
    reflector = Reflector(
        api,
        Resource("/api/v1/namespaces", Namespace),
        namespaces,
        on_error=lambda error: log.warning("watch failed", kind="namespaces", error=str(error)),
    )
    registry.register(WatchCollector("weft_injector", {"namespaces": reflector.state}))

    async def fetch(name: str) -> Meta:
        """From the API server: the watch is behind."""
        return (await api.get(f"/api/v1/namespaces/{name}", Namespace)).metadata

    owners = Owners(api)
    recorder = Recorder(api, owners, metrics)
    reviewer = Reviewer(template, owners, recorder, metrics, known=namespaces.get, fetch=fetch)
    certificate = ServingCertificate(api, "injector", [mutating_webhook("weft-injector")], namespace=config.namespace)
    metrics.certificate_expiry.set_function(lambda: certificate.expiry)
    routes = webhook_routes(PATH, reviewer.review, fail_open=config.fail_open, on_malformed=metrics.malformed.inc)
    conditions = {"namespaces": reflector.state.synced, "certificate": certificate.ready}

    def no_http(_: int) -> None:
        metrics.malformed.inc()

    await until(
        stop,
        servers=[
            serve_http(routes, config.listen, stop, certificate.context, MAX_BODY, on_refused=no_http),
            serve_admin(registry, conditions, config.admin_listen, stop),
        ],
        watches=[reflector.run(), certificate.run(), recorder.run()],
    )
