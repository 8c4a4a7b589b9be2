"""weft-data-plane (--proxy): the proxies of one namespace, or of all."""

import time
from functools import partial

from weft import durations, installed, marks
from weft.checks import routing, viz
from weft.checks.model import Category, Check, CheckSkippedError, Scene, require
from weft.checks.pods import component_pods, trouble
from weft.client import through
from weft.cluster import Object, is_ready
from weft.forward import get_json
from weft.names import (
    CONFIG,
    INJECT,
    NAMESPACE,
    PORT_SERVICE_ADMIN,
    PROXY_CONTAINER,
    PROXY_VERSION,
    WORKLOAD,
    WORKLOAD_KIND,
)

LIFETIME = "issuance-lifetime"
ENDED = ("Succeeded", "Failed")
SHOWN = 10


def _namespace(scene: Scene) -> None:
    if scene.namespace is None:
        raise CheckSkippedError
    require(scene.once(f"/api/v1/namespaces/{scene.namespace}"), f"there is no namespace {scene.namespace}")


def _meshed(scene: Scene) -> None:
    require(proxies(scene), f"no pod has a proxy{_where(scene)}")


def _ready(scene: Scene) -> None:
    unready = [pod for pod in proxies(scene) if not _proxy_ready(pod)]
    require(not unready, "\n".join(f"{_name(pod)}: {trouble(pod)}" for pod in unready[:SHOWN]))


def _versions(scene: Scene) -> None:
    expected = installed.proxy_version(installed.config(scene.kube) or {})
    if not expected:
        raise CheckSkippedError
    old = sorted({_outdated(pod) for pod in proxies(scene) if pod["metadata"]["labels"][PROXY_VERSION] != expected})
    require(not old, f"the control plane's proxies are {expected}, but {_some(old)}")


def _outdated(pod: Object) -> str:
    """The workload of a pod, and the version of its proxy."""
    metadata = pod["metadata"]
    labels = metadata["labels"]
    kind, name = labels.get(WORKLOAD_KIND, "pod"), labels.get(WORKLOAD, metadata["name"])
    return f"{kind}/{name} in {metadata['namespace']} runs {labels[PROXY_VERSION]}"


def _connected(scene: Scene) -> None:
    """Destination's replicas share the proxies: each is connected to one of them."""
    destinations = [pod for pod in component_pods(scene, "destination") if is_ready(pod)]
    if not destinations:
        raise CheckSkippedError
    known: set[str] = set()
    for pod in destinations:
        open_socket = partial(scene.kube.forward, NAMESPACE, pod["metadata"]["name"], PORT_SERVICE_ADMIN)
        status, answer = get_json(open_socket, "/debug/streams", "destination")
        if status >= 400:
            raise CheckSkippedError
        known |= {f"{stream['namespace']}/{stream['pod']}" for stream in answer["streams"]}
    lost = [_name(pod) for pod in proxies(scene) if _proxy_ready(pod) and _name(pod) not in known]
    require(not lost, f"not connected to destination: {_some(lost)}")


def _not_injected(scene: Scene) -> None:
    labelled = {n["metadata"]["name"] for n in scene.kube.list("/api/v1/namespaces", labelSelector=f"{INJECT}=enabled")}
    bare = [_name(pod) for pod in _pods(scene) if wants_proxy(pod, labelled)]
    require(not bare, f"marked for injection, but without a proxy: {_some(bare)}")


def _marks(scene: Scene) -> None:
    path = "/api/v1/namespaces"
    spaces = [scene.once(f"{path}/{scene.namespace}")] if scene.namespace else scene.kube.list(path)
    metadata = [space["metadata"] for space in spaces if space]
    wrong = [f"{one['name']}: {why}" for one in metadata for why in marks.of_namespace(one)]
    pods = _pods(scene, labelSelector=INJECT)
    wrong += [f"{_name(one)}: {why}" for one in pods for why in marks.of_pod(one["metadata"])]
    require(not wrong, "\n".join(wrong[:SHOWN]))


def wants_proxy(pod: Object, labelled: set[str]) -> bool:
    """Whether a running pod is marked for injection and yet has no proxy."""
    metadata = pod["metadata"]
    if pod.get("status", {}).get("phase") in ENDED or PROXY_VERSION in (metadata.get("labels") or {}):
        return False
    if metadata["namespace"] in marks.NEVER or (pod.get("spec") or {}).get("hostNetwork"):
        return False
    mark = (metadata.get("annotations") or {}).get(INJECT)
    return mark == "enabled" or (mark is None and metadata["namespace"] in labelled)


def _metrics(scene: Scene) -> None:
    _require_viz(scene)
    if not viz.has_prometheus(scene):
        viz.require_by_web(scene, "proxies-scraped")
        return
    scraped = {_labels(sample) for sample in viz.prometheus(scene, 'up{job="weft-proxy"} == 1')}
    missing = [_name(pod) for pod in proxies(scene) if _proxy_ready(pod) and _name(pod) not in scraped]
    require(not missing, f"Prometheus has no metrics of {_some(missing)}")


def _certificates(scene: Scene) -> None:
    bad = _ending_within(scene, 0)
    require(not bad, f"no valid certificate: {_some(bad)}")


def _renewals(scene: Scene) -> None:
    config = (installed.config(scene.kube) or {}).get("data") or {}
    if LIFETIME not in config:
        raise CheckSkippedError
    late = _ending_within(scene, durations.parse(config[LIFETIME]) / 4)
    require(not late, f"less than a quarter of the certificate's life remains: {_some(late)}")


def _ending_within(scene: Scene, seconds: float) -> list[str]:
    """Pods whose proxy's certificate has ended by then, by Prometheus; by another Prometheus, their identities."""
    _require_viz(scene)
    until = time.time() + seconds
    if not viz.has_prometheus(scene):
        rows = through(scene.kube).get("identities", namespace=scene.namespace or "*")["rows"]
        return [row["id"] for row in rows if (row["expiry_timestamp_seconds"] or until + 1) <= until]
    samples = viz.prometheus(scene, "weft_identity_expiry_timestamp_seconds")
    ending = [_labels(sample) for sample in samples if float(sample["value"][1]) <= until]
    return sorted({_name(pod) for pod in proxies(scene)}.intersection(ending))


def proxies(scene: Scene) -> list[Object]:
    """Pods that have a proxy and have not ended."""
    return [pod for pod in _pods(scene, labelSelector=PROXY_VERSION) if pod["status"].get("phase") not in ENDED]


def _pods(scene: Scene, **query: str) -> list[Object]:
    scope = f"/namespaces/{scene.namespace}" if scene.namespace else ""
    return scene.kube.list(f"/api/v1{scope}/pods", **query)


def _proxy_ready(pod: Object) -> bool:
    statuses = pod["status"].get("initContainerStatuses") or []
    return is_ready(pod) or any(s["name"] == PROXY_CONTAINER and s.get("ready") for s in statuses)


def _require_viz(scene: Scene) -> None:
    if not viz.is_installed(scene):
        raise CheckSkippedError


def _labels(sample: Object) -> str:
    return f"{sample['metric'].get('namespace')}/{sample['metric'].get('pod')}"


def _name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _where(scene: Scene) -> str:
    return f" in namespace {scene.namespace}" if scene.namespace else ""


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(sorted(names)[:SHOWN]) + (f" and {more} more" if more > 0 else "")


CATEGORY = Category(
    "weft-data-plane",
    (
        Check("proxy-namespace", "the namespace exists", _namespace, "Name another by -n.", fatal=True),
        Check(
            "proxy-pods",
            "pods have a proxy",
            _meshed,
            "Mesh a workload: `kubectl get deploy -o yaml | weft inject - | kubectl apply -f -`.",
        ),
        Check(
            "proxy-ready",
            "the proxies are ready",
            _ready,
            "See `kubectl describe pod`, and `kubectl logs POD -c weft-proxy`.",
            fatal=True,
            retry=True,
        ),
        Check(
            "proxy-version",
            "the proxies are current",
            _versions,
            f"Restart the workloads (`kubectl rollout restart`): new pods get the proxy that {CONFIG} names.",
            warning=True,
        ),
        Check(
            "proxy-connected",
            "the proxies are connected to the control plane",
            _connected,
            "Without it they go on with what they knew. See `kubectl logs POD -c weft-proxy`, and NetworkPolicies.",
            warning=True,
        ),
        Check(
            "proxy-missing",
            "every pod that is marked for injection has a proxy",
            _not_injected,
            "They are older than the mark: restart them by `kubectl rollout restart`. Events on their owners say more.",
            warning=True,
        ),
        Check(
            "proxy-marks",
            "marks for injection are such as the injector reads",
            _marks,
            f"A namespace has {INJECT} as a label, a pod or its template as an annotation; enabled or disabled.",
            warning=True,
        ),
        routing.CHECK,
        Check(
            "proxy-certificate",
            "the proxies' certificates are valid",
            _certificates,
            "See `kubectl logs POD -c weft-proxy`: the proxy says why identity does not certify it.",
            retry=True,
        ),
        Check(
            "proxy-certificate-age",
            "the proxies' certificates are renewed in time",
            _renewals,
            "Proxies renew after 65 to 70 % of a life. See `weft identity POD`, and `kubectl logs POD -c weft-proxy`.",
            warning=True,
        ),
        Check(
            "proxy-metrics",
            "the proxies' metrics are in Prometheus",
            _metrics,
            "A new pod is there after the next scrape. Else see `weft explain viz-scrapes`.",
            retry=True,
        ),
    ),
)
