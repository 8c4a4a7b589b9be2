"""weft-viz: tap, web and Prometheus, when they are installed."""

from typing import Any
from urllib.parse import quote

from weft import installed
from weft.checks.model import Category, Check, CheckFailedError, CheckSkippedError, Scene, require
from weft.checks.pods import require_ready
from weft.client import through
from weft.forward import get_json, to_component
from weft.names import NAMESPACE, PORT_PROMETHEUS

COMPONENTS = ("tap", "web", "prometheus")
LOGS = f"See `kubectl -n {NAMESPACE} logs deploy/{{}}`."


def prometheus(scene: Scene, query: str) -> list[dict[str, Any]]:
    """The instant vector of a query to viz's own Prometheus."""
    open_socket = to_component(scene.kube, "prometheus", PORT_PROMETHEUS)
    status, body = get_json(open_socket, f"/api/v1/query?query={quote(query)}", "prometheus")
    require(status == 200, f"Prometheus refused a query: {body}")
    found: list[dict[str, Any]] = body["data"]["result"]
    return found


def is_installed(scene: Scene) -> bool:
    """Whether the cluster has viz."""
    return installed.tap_service(scene.kube) is not None


def has_prometheus(scene: Scene) -> bool:
    """Whether Prometheus is viz's own. Another may be anywhere: only web knows how it is reached."""
    return scene.once(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/prometheus") is not None


def require_by_web(scene: Scene, name: str) -> None:
    """One of web's own checks; skipped where web does not have it."""
    found = next((one for one in through(scene.kube).get("check")["checks"] if one["id"] == name), None)
    if found is None:
        raise CheckSkippedError
    require(
        found["result"] == "success", f"{found['message']} ({found['hint']})" if found["hint"] else found["message"]
    )


def _ready(scene: Scene, component: str) -> None:
    if component == "prometheus" and not has_prometheus(scene):
        raise CheckSkippedError
    require_ready(scene, component)


def _grafana(scene: Scene) -> None:
    if scene.kube.find(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/grafana") is None:
        raise CheckSkippedError
    require_ready(scene, "grafana")


def _api_service(scene: Scene) -> None:
    service = installed.tap_service(scene.kube) or {}
    conditions = (service.get("status") or {}).get("conditions") or []
    available = next((c for c in conditions if c["type"] == "Available"), None)
    if available is None:
        raise CheckFailedError("the API server has not looked at it yet")
    if available["status"] != "True":
        raise CheckFailedError(f"{available.get('reason', '')}: {available.get('message', '')}")


def _targets(scene: Scene) -> None:
    if not has_prometheus(scene):
        require_by_web(scene, "prometheus-answers")
        return
    require(prometheus(scene, "up == 1"), "Prometheus scrapes nothing successfully")


def _proxies_scraped(scene: Scene) -> None:
    if not has_prometheus(scene):
        require_by_web(scene, "proxies-scraped")
        return
    down = prometheus(scene, 'up{job=~"weft-.*"} == 0')
    names = sorted({f"{d['metric'].get('namespace', NAMESPACE)}/{d['metric'].get('pod', '?')}" for d in down})
    require(not names, f"cannot scrape {', '.join(names)}")


def _web(scene: Scene) -> None:
    through(scene.kube).version()


CATEGORY = Category(
    "weft-viz",
    (
        *(
            Check(
                f"viz-{component}-ready",
                f"{component} is ready",
                lambda scene, component=component: _ready(scene, component),  # type: ignore[misc]
                f"See `kubectl -n {NAMESPACE} describe pod -l weft.dev/component={component}`.",
                fatal=True,
                retry=True,
            )
            for component in COMPONENTS
        ),
        Check(
            "viz-grafana-ready",
            "grafana is ready",
            _grafana,
            "All else works without it; where its image cannot be pulled: --set viz.grafana.enabled=false.",
            warning=True,
        ),
        Check(
            "viz-tap-available",
            "the tap API is available",
            _api_service,
            LOGS.format("tap"),
            retry=True,
        ),
        Check(
            "viz-prometheus",
            "Prometheus is up and has targets",
            _targets,
            f"{LOGS.format('prometheus')} Another Prometheus is asked by web: see the logs of deploy/web.",
            retry=True,
        ),
        Check(
            "viz-scrapes",
            "Prometheus can scrape every proxy and service",
            _proxies_scraped,
            "See the targets' errors: port-forward prometheus:9090 and open /targets.",
            warning=True,
        ),
        Check("viz-web", "web answers", _web, LOGS.format("web"), retry=True),
    ),
)
