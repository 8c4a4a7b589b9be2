"""sp-validator's wiring, in start order."""

import asyncio

from prometheus_client import CollectorRegistry
from weft_kube.api import Cluster, KubeApi
from weft_runtime.admin import serve_admin, serve_http
from weft_runtime.run import until
from weft_webhook.ca_bundle import validating_webhook
from weft_webhook.server import MAX_BODY, webhook_routes
from weft_webhook.serving import ServingCertificate

from weft_sp_validator.config import Config
from weft_sp_validator.metrics import Metrics
from weft_sp_validator.review import Reviewer

PATH = "/validate"


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Serves reviews until `stop`."""
    async with KubeApi(Cluster.in_cluster(config.kubernetes_host, config.kubernetes_port)) as api:
        await serve_with(config, api, stop)


async def serve_with(config: Config, api: KubeApi, stop: asyncio.Event) -> None:
    """Serves reviews, with its certificate kept in the cluster behind `api`."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    bundles = [validating_webhook("weft-sp-validator")]
    certificate = ServingCertificate(api, "sp-validator", bundles, namespace=config.namespace)
    metrics.certificate_expiry.set_function(lambda: certificate.expiry)
    # An object that could not be checked is not let in: its author sees why, and nothing else waits for it.
    routes = webhook_routes(PATH, Reviewer(metrics).review, fail_open=False, on_malformed=metrics.malformed.inc)

    def no_http(_: int) -> None:
        metrics.malformed.inc()

    await until(
        stop,
        servers=[
            serve_http(routes, config.listen, stop, certificate.context, MAX_BODY, on_refused=no_http),
            serve_admin(registry, {"certificate": certificate.ready}, config.admin_listen, stop),
        ],
        watches=[certificate.run()],
    )
