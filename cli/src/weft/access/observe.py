"""Who called whom lately: counts from web's public API, single requests from tap."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from weft_kube.names import SKIP_INBOUND_PORTS, parse_ports

from weft.access.model import PROBE_ROUTE, Call, Workload
from weft.errors import Failure
from weft.names import PROXY_CONTAINER, PROXY_VERSION, WORKLOAD, WORKLOAD_KIND

if TYPE_CHECKING:
    from weft.client import Client, Policies
    from weft.cluster import Kube, Object

DENIED = "E114 "
"""How the proxy's error of denied calls begins."""

KINDS = ("deployment", "statefulset", "daemonset")
"""Of workloads that may have been called and be gone."""

MADE = ("weft.dev/", "batch.kubernetes.io/", "controller-uid", "job-name")
"""How labels begin that weft and the controllers of Jobs give a pod."""

Event = dict[str, Any]


def workloads(kube: "Kube", namespace: str) -> list[Workload]:
    """All workloads of a namespace that have pods with a proxy."""
    pods = kube.list(f"/api/v1/namespaces/{namespace}/pods", labelSelector=PROXY_VERSION)
    found: dict[tuple[str, str], Workload] = {}
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        if (pod.get("status") or {}).get("phase") in ("Pending", "Running"):
            one = workload_of(pod)
            found.setdefault(one.key, one)
    return list(found.values())


def workload_of(pod: "Object") -> Workload:
    """The workload of a pod with a proxy."""
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    kind, name = labels.get(WORKLOAD_KIND, "pod"), labels.get(WORKLOAD, meta["name"])
    own = tuple((key, value) for key, value in labels.items() if not key.startswith(MADE))
    ports = _ports(pod["spec"])
    return Workload(meta["namespace"], kind, name, meta["name"], tuple(ports), own, tuple(_skipped(meta, ports)))


def _ports(spec: "Object") -> list[int]:
    containers = [*spec["containers"], *(spec.get("initContainers") or [])]
    own = [one for one in containers if one["name"] != PROXY_CONTAINER]
    declared = [port for one in own for port in one.get("ports") or [] if port.get("protocol", "TCP") == "TCP"]
    return sorted({int(port["containerPort"]) for port in declared})


def _skipped(meta: "Object", ports: list[int]) -> list[int]:
    """Nonsense skips none, as it does for destination."""
    try:
        ranges = parse_ports((meta.get("annotations") or {}).get(SKIP_INBOUND_PORTS, ""))
    except ValueError:
        return []
    return [port for port in ports if any(port in of for of in ranges)]


def counted(
    web: "Client", namespace: str, seconds: float, known: Collection[tuple[str, str]], *, denied: bool
) -> Counter[Call]:
    """Requests, and connections that are none, over the last `seconds`. `denied`: those that were denied too."""
    calls: Counter[Call] = Counter()
    window = f"{round(seconds)}s"
    for kind in dict.fromkeys((*KINDS, *(kind for kind, _ in known))):
        answer = web.inbound(kind, namespace=namespace, window=window)
        edges = web.edges(kind, namespace=namespace, window=window)
        _whole(answer["warnings"] + edges["warnings"])
        for row in answer["rows"]:
            mine = _is(row["dst"], kind, known) and row["route"] != PROBE_ROUTE
            rate = (row["rps"] or 0.0) - (0.0 if denied else row["denied_rps"])
            if mine and rate:
                call = Call((kind, row["dst"]["name"]), row["client_id"], http=True, route=row["route"])
                calls[call] += max(1, round(rate * answer["window_seconds"]))
        for edge in edges["rows"]:
            if edge["rps"] is None and edge["dst"]["namespace"] == namespace and _is(edge["dst"], kind, known):
                calls[Call((kind, edge["dst"]["name"]), edge["client_id"], http=False)] += max(
                    1, round(edge["tcp_open_connections"] or 0)
                )
    return calls


def refused(web: "Client", namespace: str, seconds: float) -> "Policies":
    """What policies refused over the last `seconds`, and what left the mesh."""
    answer = web.policies(namespace=namespace, window=f"{round(seconds)}s")
    _whole(answer["warnings"])
    return answer


def _whole(warnings: list[str]) -> None:
    """What nobody could look at is not nothing."""
    if warnings:
        raise Failure(f"nobody knows what was called: {warnings[0]}", "See `weft check`.")


def _is(ref: Mapping[str, object], kind: str, known: Collection[tuple[str, str]]) -> bool:
    """Is it a workload of this kind? Of pods, only one that is no other workload's."""
    return ref["kind"] == kind and (kind in KINDS or (kind, ref["name"]) in known)


def tapped(kube: "Kube", namespace: str, seconds: float) -> Counter[Call]:
    """Requests that came in during the next `seconds`."""
    from weft import taps
    from weft.resources import Resource

    calls: Counter[Call] = Counter()
    where = taps.path(namespace, Resource("namespace", namespace))
    for event in taps.events(kube, where, {"direction": "inbound", "max_rps": "10000"}, seconds):
        if event and _counts(event):
            calls[_request(event)] += 1
    return calls


def _counts(event: Event) -> bool:
    """Requests that were let in, by others than the kubelet."""
    denied = event.get("error", "").startswith(DENIED)
    return event.get("method") not in (None, "", "TCP") and event.get("route") != PROBE_ROUTE and not denied


def _request(event: Event) -> Call:
    return Call(
        (event.get("dst_workload_kind", ""), event.get("dst_workload", "")),
        event.get("peer_identity", ""),
        http=True,
        port=int(event.get("destination", "").rpartition(":")[2] or 0),
        method=event["method"],
        path=event["path"].partition("?")[0],
        grpc=event.get("grpc_status", -1) != -1,
        ip=event.get("source", "").rpartition(":")[0].strip("[]"),
        route=event.get("route", ""),
    )
