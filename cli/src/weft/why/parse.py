"""From JSON of Kubernetes, tap and Prometheus to evidence. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from weft.names import INJECT, NAMESPACE, PROXY_VERSION
from weft.views.exchange import Exchange
from weft.why.model import Call, Container, Declared, Event, Pod, Policy, Port, Ref, Service, Workload

Json = dict[str, Any]
SERVICE_NAME = "kubernetes.io/service-name"
REVISION = "deployment.kubernetes.io/revision"
UNRESOLVED = re.compile(
    r"lookup (?P<go>[\w.-]+)[^\n]*no such host"
    r"|getaddrinfo E\w+ (?P<node>[\w.-]+)"
    r"|[Cc]ould not resolve host: '?(?P<curl>[\w.-]+)"
    r"|Cannot connect to host (?P<aiohttp>[\w.-]+):\d+ ssl:[^\[\n]{0,40}\[[^\]\n]*(?:[Nn]ame|DNS)"
    r"|DNS resolution failed for (?P<grpc>[\w.-]+)"
)
"""How Go, Node.js, curl, aiohttp and gRPC say that a name is unknown."""

SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")


def pod(found: Json, marked: frozenset[str]) -> Pod:
    """A pod; `marked` are the namespaces that are labelled for injection."""
    metadata, spec, status = found["metadata"], found.get("spec") or {}, found.get("status") or {}
    labels = metadata.get("labels") or {}
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    mark = (metadata.get("annotations") or {}).get(INJECT)
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        owner=owner(metadata),
        labels=labels,
        ready=conditions.get("Ready", {}).get("status") == "True",
        meshed=PROXY_VERSION in labels,
        wants_proxy=mark == "enabled" or (mark is None and metadata["namespace"] in marked),
        created=seconds(metadata.get("creationTimestamp")),
        unschedulable=_unschedulable(conditions.get("PodScheduled", {})),
        containers=tuple(_container(one) for one in statuses if _lasting(one, spec)),
        ports=tuple(
            Declared(port["containerPort"], port.get("name", ""))
            for one in spec.get("containers") or []
            for port in one.get("ports") or []
        ),
    )


def owner(metadata: Json) -> Ref:
    """The workload that a pod belongs to: its controller, and of a ReplicaSet the Deployment."""
    namespace, labels = metadata["namespace"], metadata.get("labels") or {}
    found = next((one for one in metadata.get("ownerReferences") or [] if one.get("controller")), None)
    if found is None:
        return Ref(namespace, "pod", metadata["name"])
    revision = labels.get("pod-template-hash", "")
    if found["kind"] == "ReplicaSet" and revision:
        return Ref(namespace, "deployment", found["name"].removesuffix(f"-{revision}"))
    made = Ref(namespace, found["kind"].lower(), found["name"])
    return made.maker if made.kind == "job" else made


def service(found: Json, slices: Iterable[Json]) -> Service:
    """A Service; `slices` may be those of other Services and namespaces, too."""
    metadata, spec = found["metadata"], found.get("spec") or {}
    mine = [one for one in slices if _leads_from(one["metadata"], metadata)]
    endpoints = [one for s in mine if s.get("ports") for one in s.get("endpoints") or []]
    return Service(
        namespace=metadata["namespace"],
        name=metadata["name"],
        selector=spec.get("selector") or {},
        ports=tuple(Port(p["port"], str(p.get("targetPort", p["port"]))) for p in spec.get("ports") or []),
        ready=sum((one.get("conditions") or {}).get("ready", True) is not False for one in endpoints),
        external=spec.get("type") == "ExternalName",
    )


def _leads_from(slice_: Json, service: Json) -> bool:
    name = (slice_.get("labels") or {}).get(SERVICE_NAME)
    return (slice_["namespace"], name) == (service["namespace"], service["name"])


def workload(kind: str, found: Json, revisions: Iterable[Json]) -> Workload:
    """A workload; `revisions`, ReplicaSets and ControllerRevisions, may be those of others, too."""
    metadata, spec = found["metadata"], found.get("spec") or {}
    mine = [one for one in revisions if _owned(one["metadata"], kind, metadata)]
    return Workload(
        Ref(metadata["namespace"], kind, metadata["name"]),
        replicas=spec.get("replicas", 1),
        labels=((spec.get("template") or {}).get("metadata") or {}).get("labels") or {},
        rolled_out=_new([(_revision(one), seconds(one["metadata"].get("creationTimestamp"))) for one in mine]),
    )


def _new(versions: list[tuple[int, float]]) -> float:
    """When the version in use, that of the highest revision, began; 0 if there was none before, or if a rollback
    brought it back."""
    began = max(versions, default=(0, 0.0))[1]
    return began if len(versions) > 1 and began == max(one for _, one in versions) else 0.0


def _revision(holder: Json) -> int:
    text = (holder["metadata"].get("annotations") or {}).get(REVISION, "")
    return int(holder.get("revision") or (text if text.isdecimal() else 0))


def _owned(found: Json, kind: str, maker: Json) -> bool:
    owners = [(one["kind"].lower(), one["name"]) for one in found.get("ownerReferences") or []]
    return found["namespace"] == maker["namespace"] and (kind, maker["name"]) in owners


def event(found: Json) -> Event:
    """A Kubernetes Event."""
    about = found.get("involvedObject") or {}
    when = found.get("lastTimestamp") or found.get("eventTime") or found["metadata"].get("creationTimestamp")
    ref = Ref(about.get("namespace", ""), about.get("kind", "").lower(), about.get("name", ""))
    return Event(ref, found.get("reason", ""), found.get("message", ""), seconds(when))


def policy(found: Json) -> Policy | None:
    """A NetworkPolicy; None if it does not limit what comes in, or selects by expressions."""
    metadata, spec = found["metadata"], found.get("spec") or {}
    chosen = spec.get("podSelector") or {}
    if "Ingress" not in (spec.get("policyTypes") or ["Ingress"]) or chosen.get("matchExpressions"):
        return None
    return Policy(metadata["namespace"], metadata["name"], chosen.get("matchLabels") or {})


def call(found: Json, owners: Mapping[tuple[str, str], Ref]) -> Call:
    """An event of tap; `owners` are workloads by namespace and pod."""
    exchange = Exchange.parse(found)
    own = (found.get("namespace", ""), found.get("pod", ""))
    here = owners.get(own, Ref(own[0], "pod", own[1]))
    there = Ref(found.get("dst_namespace", ""), found.get("dst_workload_kind", ""), found.get("dst_workload", ""))
    return Call(
        outbound=not exchange.inbound,
        src=_account(exchange.identity) if exchange.inbound else here,
        dst=here if exchange.inbound else there,
        service="" if exchange.inbound else found.get("dst_service", ""),
        pod=own[1] if exchange.inbound else found.get("dst_pod", ""),
        method=exchange.method,
        path=exchange.path,
        status=exchange.status,
        grpc_status=exchange.grpc_status,
        failed=exchange.result == "failure",
        cancelled=exchange.result == "cancelled",
        latency=exchange.latency or int(found.get("duration_us", 0)) / 1e6,
        at=exchange.started,
        route=exchange.route,
        tls=exchange.tls,
        error=exchange.error or _told(found.get("response_headers") or ()),
    )


def _told(headers: Iterable[Json]) -> str:
    """What the server's proxy says went wrong."""
    return next((one["value"] for one in headers if one["name"] == "weft-error"), "")


def timeouts(profiles: Iterable[Json]) -> dict[tuple[str, str, str], float]:
    """Times that routes allow, by namespace, Service and route."""
    from weft import durations

    found = {}
    for profile in profiles:
        metadata = profile["metadata"]
        for route in (profile.get("spec") or {}).get("routes") or []:
            if route.get("timeout"):
                key = (metadata["namespace"], metadata["name"], route.get("name", ""))
                found[key] = durations.parse(str(route["timeout"]))
    return found


def samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    """The samples of one metric in Prometheus' text format."""
    found = []
    for line in text.splitlines():
        sample = SAMPLE.match(line) if line.startswith(name) else None
        if sample and sample["name"] == name:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"] or ""))
            found.append((labels, float(sample["value"])))
    return found


def unresolved(log: str) -> set[str]:
    """Names that a log says cannot be resolved."""
    return {next(filter(None, found.groups())).rstrip(".") for found in UNRESOLVED.finditer(log)}


def unready(deployments: Iterable[Json]) -> dict[str, str]:
    """Deployments of the control plane that lack pods, and how many."""
    found = {}
    for one in deployments:
        wanted, ready = one["spec"].get("replicas", 1), (one.get("status") or {}).get("readyReplicas", 0)
        if not ready:
            state = "is scaled to 0" if not wanted else f"none of its {wanted} pods is ready"
            found[one["metadata"]["name"]] = f"deployment {one['metadata']['name']} in namespace {NAMESPACE}: {state}"
    return found


def seconds(text: str | None) -> float:
    """Seconds since the epoch of an RFC 3339 time; 0 without one."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def _container(status: Json) -> Container:
    state, before = status.get("state") or {}, status.get("lastState") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or before.get("terminated") or {}
    reason = waiting.get("reason", "")
    return Container(
        name=status["name"],
        ready=bool(status.get("ready")),
        running="running" in state,
        restarts=status.get("restartCount", 0),
        waiting="" if reason in ("PodInitializing", "ContainerCreating") else reason,
        message=waiting.get("message", ""),
        ended=ended.get("reason", ""),
        ended_at=seconds(ended.get("finishedAt")),
        exit_code=ended.get("exitCode", 0),
    )


def _lasting(status: Json, spec: Json) -> bool:
    """Whether a container is still of interest: init containers that have done their work are not."""
    init = {one["name"]: one for one in spec.get("initContainers") or []}
    found = init.get(status["name"])
    done = ((status.get("state") or {}).get("terminated") or {}).get("exitCode") == 0
    return found is None or found.get("restartPolicy") == "Always" or not done


def _unschedulable(condition: Json) -> str:
    return str(condition.get("message", "")) if condition.get("status") == "False" else ""


def _account(identity: str) -> Ref:
    _, _, tail = identity.partition("/ns/")
    namespace, _, name = tail.partition("/sa/")
    return Ref(namespace, "serviceaccount", name)
