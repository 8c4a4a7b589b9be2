"""Wiring of tap, in start order."""

import asyncio

import structlog
from weft_kube.api import Cluster, KubeApi
from weft_kube.metrics import WatchCollector
from weft_kube.objects import Pod
from weft_kube.watch import Reflector, Resource
from weft_runtime.admin import serve_admin, serve_http
from weft_runtime.run import until
from weft_runtime.version import version
from weft_webhook.ca_bundle import api_service
from weft_webhook.serving import ServingCertificate

from weft_tap.authority import Authority
from weft_tap.config import Config
from weft_tap.metrics import Metrics
from weft_tap.pods import Pods
from weft_tap.server import Taps, application
from weft_tap.session import connector
from weft_tap.subject import GROUP, VERSION

log = structlog.get_logger()


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Runs tap until `stop`."""
    metrics = Metrics(version("weft-tap"))
    async with KubeApi(Cluster.in_cluster(config.kube_host, config.kube_port)) as api:
        pods = Pods()
        reflector = Reflector(api, Resource("/api/v1/pods", Pod), pods, on_error=_watch_failed)
        metrics.registry.register(WatchCollector("weft_tap", {"pods": reflector.state}))
        bundle = api_service(f"{VERSION}.{GROUP}")
        certificate = ServingCertificate(api, "tap", [bundle], namespace=config.namespace)
        metrics.certificate_expiry.set_function(lambda: certificate.expiry)
        authority = Authority(api, certificate.context, stop)
        taps = Taps(api, authority, pods, connector(config.proxy), metrics)
        conditions = {
            "pods": reflector.state.synced,
            "serving certificate": certificate.ready,
            "request header CA": authority.ready,
        }
        await until(
            stop,
            servers=[
                serve_admin(metrics.registry, conditions, config.admin_listen, stop),
                serve_http(
                    application(taps), config.listen, stop, certificate.context, on_refused=metrics.count_refused
                ),
            ],
            watches=[reflector.run(), certificate.run(), authority.run()],
        )


def _watch_failed(error: Exception) -> None:
    log.warning("watch failed", reason=str(error))
