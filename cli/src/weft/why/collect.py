"""Gathers evidence: Kubernetes' objects, the proxies' last exchanges and metrics, the applications' logs."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from weft import forward, names, taps
from weft.cluster import Kube
from weft.errors import ApiError, Failure
from weft.pods import find, pods_of
from weft.resources import Resource
from weft.why import parse
from weft.why.failing import culprits, is_subject, joined
from weft.why.model import Evidence, Pod, Ref

Json = dict[str, Any]
TAP_SECONDS = 2.5
QUIET_TICKS = 3
"""Of taps.TICK_SECONDS: after so long a silence there is nothing more to replay."""

REPLAY = "256"
HOPS = 3
"""How far calls are followed from the subject."""

CORE = ("destination", "identity", "injector")
"""Components that workloads depend on."""

ROLLED = ("deployment", "statefulset", "daemonset")
LOOKED_INTO = 4
"""Pods whose metrics and logs are read."""

LOG_LINES = "200"


class Collector:
    """One look at the cluster. What may not be read, or does not answer, is noted in `blind`."""

    def __init__(self, kube: Kube, seconds: float, now: Callable[[], float] = time.time) -> None:
        self._kube = kube
        self._seconds = seconds
        self._now = now
        self._blind: dict[str, None] = {}
        self._marked: frozenset[str] = frozenset()

    def look(self, namespace: str, resource: Resource) -> Evidence:
        """All evidence about a workload, pod or Service."""
        subject = self._subject(namespace, resource)
        self._marked = frozenset(self._marked_namespaces())
        with ThreadPoolExecutor(8) as pool:
            evidence = self._objects(Evidence(subject, self._now()), {namespace}, pool)
            evidence = self._follow(evidence, pool)
            spaces_called = {ref.namespace for ref in culprits(evidence)} - {namespace, ""}
            if spaces_called:
                evidence = self._objects(evidence, {namespace, *spaces_called}, pool)
            evidence = self._closer(evidence, pool)
        return replace(evidence, unready=self._control_plane(), blind=tuple(self._blind))

    def request(self, namespace: str, pod: str, number: int) -> Evidence:
        """Evidence about one exchange that the pod's proxy still holds."""
        held = self._tap(namespace, Resource("pod", pod), {})
        mine = [one for one in held if int(one.get("id", -1)) == number]
        if not mine:
            raise Failure(f"the proxy of {pod} no longer holds request {number}", f"`weft why po/{pod}` looks at all.")
        evidence = self.look(namespace, Resource("pod", pod))
        owners = {(one.namespace, one.name): one.owner for one in evidence.pods}
        call = parse.call(mine[0], owners)
        same = [c for c in evidence.calls if (c.dst, c.service, c.outbound) == (call.dst, call.service, call.outbound)]
        deeper = [c for c in evidence.calls if c.src == call.dst]
        return replace(evidence, calls=(call, *same, *deeper))

    def _marked_namespaces(self) -> Iterable[str]:
        spaces = (one["metadata"] for one in self._list("/api/v1/namespaces"))
        return (space["name"] for space in spaces if (space.get("labels") or {}).get(names.INJECT) == "enabled")

    def _subject(self, namespace: str, resource: Resource) -> Ref:
        found = find(self._kube, namespace, resource)
        if resource.kind == "pod":
            return parse.owner(found["metadata"])
        return Ref(namespace, resource.kind, resource.name)

    def _objects(self, evidence: Evidence, spaces: Iterable[str], pool: ThreadPoolExecutor) -> Evidence:
        paths = [(what, path) for space in sorted(spaces) for what, path in _paths(space).items()]
        found: dict[str, list[Json]] = defaultdict(list)
        for (what, _), items in zip(paths, pool.map(self._list, (path for _, path in paths)), strict=True):
            found[what] += items
        return replace(
            evidence,
            pods=tuple(parse.pod(one, self._marked) for one in found["pods"] if _lives(one)),
            services=tuple(parse.service(one, found["slices"]) for one in found["services"]),
            workloads=tuple(
                parse.workload(kind, one, [*found["replicasets"], *found["revisions"]])
                for kind in ROLLED
                for one in found[kind]
            ),
            events=tuple(sorted(map(parse.event, found["events"]), key=lambda event: event.at)),
            policies=tuple(policy for one in found["policies"] if (policy := parse.policy(one))),
            timeouts=parse.timeouts(found["profiles"]),
        )

    def _follow(self, evidence: Evidence, pool: ThreadPoolExecutor) -> Evidence:
        """Calls of the subject, then of those whom its failing calls were meant for, and so on."""
        asked: set[Ref] = set()
        for _ in range(HOPS):
            wanted = [ref for ref in culprits(evidence) if ref not in asked and ref.kind]
            if not wanted:
                break
            asked |= set(wanted)
            events = [one for each in pool.map(self._exchanges, wanted) for one in each]
            owners = {(pod.namespace, pod.name): pod.owner for pod in evidence.pods}
            calls = (parse.call(one, owners) for one in events)
            recent = [call for call in calls if call.at > evidence.now - self._seconds]
            evidence = replace(evidence, calls=joined(sorted({*evidence.calls, *recent}, key=lambda call: call.at)))
        return evidence

    def _exchanges(self, ref: Ref) -> list[Json]:
        if ref.kind == "service":
            callers = self._tap(ref.namespace, Resource("namespace", ref.namespace), {"to": f"service/{ref.name}"})
            pods = pods_of(self._kube, ref.namespace, Resource("service", ref.name))
            owners = {parse.owner(pod["metadata"]) for pod in pods}
            return callers + [one for owner in owners for one in self._exchanges(owner)]
        return self._tap(ref.namespace, Resource(ref.kind, ref.name), {})

    def _tap(self, namespace: str, resource: Resource, filters: dict[str, str]) -> list[Json]:
        query = {**filters, "replay": REPLAY, "max_rps": "10000"}
        try:
            return list(_replayed(taps.events(self._kube, taps.path(namespace, resource), query, TAP_SECONDS)))
        except Failure as failure:
            if not isinstance(failure, ApiError) or failure.status != 404:  # 404: no pod of it runs
                self._blind[f"requests: {failure.message}"] = None
            return []

    def _closer(self, evidence: Evidence, pool: ThreadPoolExecutor) -> Evidence:
        """Metrics of the proxies in question, and the logs of the subject."""
        blamed = culprits(evidence)
        own = [pod for pod in evidence.pods if is_subject(evidence, pod)]
        others = [pod for pod in evidence.pods if pod.owner in blamed and pod not in own]
        looked = [*own, *others][:LOOKED_INTO]
        metrics = zip(looked, pool.map(self._metrics, looked), strict=True)
        expiry, breakers = {}, {}
        for pod, text in metrics:
            for _, value in parse.samples(text, "weft_identity_expiry_timestamp_seconds"):
                expiry[pod.namespace, pod.name] = value
            if pod in own:
                for labels, value in parse.samples(text, "weft_balancer_endpoints"):
                    if labels.get("state") == "open" and value:
                        breakers[f"{labels['dst_service']}.{labels['dst_namespace']}"] = int(value)
        logs = pool.map(self._log, [pod for pod in looked if pod in own])
        unknown = sorted(set().union(*map(parse.unresolved, logs)))
        return replace(evidence, expiry=expiry, breakers=breakers, unknown_names=tuple(unknown))

    def _metrics(self, pod: Pod) -> str:
        if not pod.meshed or not any(c.name == names.PROXY_CONTAINER and c.running for c in pod.containers):
            return ""
        where, port = f"{pod.namespace}/{pod.name}", (pod.namespace, pod.name, names.PORT_ADMIN)
        try:
            return forward.get(lambda: self._kube.forward(*port), "/metrics", where)[1].decode(errors="replace")
        except Failure as failure:
            self._blind[f"metrics of {where}: {failure.message}"] = None
            return ""

    def _log(self, pod: Pod) -> str:
        application = [c.name for c in pod.containers if c.name not in (names.PROXY_CONTAINER, names.INIT_CONTAINER)]
        query = {"tailLines": LOG_LINES, "sinceSeconds": str(round(self._seconds))}
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/log"
        try:
            return "\n".join(self._kube.text(path, container=name, **query) for name in application)
        except Failure as failure:
            self._blind[f"logs of {pod.name}: {failure.message}"] = None
            return ""

    def _control_plane(self) -> dict[str, str]:
        deployments = self._list(f"/apis/apps/v1/namespaces/{names.NAMESPACE}/deployments")
        return parse.unready(one for one in deployments if one["metadata"]["name"] in CORE)

    def _list(self, path: str) -> list[Json]:
        """What there is; nothing when it may not be read, or the kind is not installed."""
        try:
            return self._kube.list(path)
        except ApiError as error:
            if error.status != 404:
                self._blind[error.message] = None
            return []


def _paths(namespace: str) -> dict[str, str]:
    """What is read of a namespace."""
    core, apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"
    return {
        "pods": f"{core}/pods",
        "services": f"{core}/services",
        "events": f"{core}/events",
        "slices": f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
        "policies": f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
        "profiles": f"/apis/weft.dev/v1alpha1/namespaces/{namespace}/serviceprofiles",
        "replicasets": f"{apps}/replicasets",
        "revisions": f"{apps}/controllerrevisions",
        **{kind: f"{apps}/{kind}s" for kind in ROLLED},
    }


def _lives(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") != "Succeeded" and "deletionTimestamp" not in pod["metadata"]


def _replayed(events: Iterable[taps.Event | None]) -> Iterator[taps.Event]:
    """What the proxies held; it is over when nothing more comes for a moment."""
    silence = -1
    for event in events:
        if event is None:
            silence += silence >= 0
            if silence == QUIET_TICKS:
                return
        elif not isinstance(event.get("status"), dict):
            silence = 0
            yield event
