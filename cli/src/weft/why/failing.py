"""Which calls fail, and whose fault it can be: the edges that fail and whose far end calls nobody that fails. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from weft.why.model import Call, Evidence, Pod, Ref, Service, Workload

NEAR_SECONDS = 5.0
"""An exchange is seen by both sides within this time."""

FEW, SHARE = 2, 0.05
"""One failure among many is no trouble: it takes two, or one call in twenty."""


def joined(calls: Iterable[Call]) -> tuple[Call, ...]:
    """The calls, those of clients with the error that the server's proxy gave them: 502 alone says little."""
    answered: dict[tuple[Ref, str, str, str], list[Call]] = defaultdict(list)
    calls = tuple(calls)
    for call in calls:
        if call.error and not call.outbound:
            answered[_exchange(call)].append(call)
    return tuple(_with_error(call, answered[_exchange(call)]) for call in calls)


def _exchange(call: Call) -> tuple[Ref, str, str, str]:
    return call.dst, call.pod, call.method, call.path


def _with_error(call: Call, answers: Sequence[Call]) -> Call:
    if call.error or not (call.outbound and call.failed):
        return call
    near = min(answers, key=lambda other: abs(other.at - call.at), default=None)
    return replace(call, error=near.error) if near and abs(near.at - call.at) < NEAR_SECONDS else call


def path(evidence: Evidence) -> tuple[str, ...]:
    """From the subject along its failing calls to where the trouble begins: workloads, at the end maybe a Service."""
    steps, here = [str(evidence.subject)], evidence.subject
    while True:
        sent = Counter((c.dst, c.service) for c in evidence.calls if c.outbound and c.failed and c.src == here)
        ahead = [(dst, name) for (dst, name), _ in sent.most_common() if _step(dst, name) not in steps]
        if not ahead:
            return tuple(steps)
        here, name = ahead[0]
        steps.append(_step(here, name))


def _step(dst: Ref, service: str) -> str:
    return str(dst) if dst.name else f"service/{service}" if service else "an unknown address"


def failures(evidence: Evidence) -> list[Call]:
    """Failed calls that concern the subject and have no deeper cause: those where the trouble begins."""
    troubled = [call for calls in _by_edge(evidence.calls).values() if _fails(calls) for call in calls if call.failed]
    sent = [call for call in troubled if call.outbound]
    callers = {call.src for call in sent}
    deepest = [call for call in sent if call.dst not in callers or call.error]
    if deepest:
        return deepest
    own = {evidence.subject} | {pod.owner for pod in evidence.pods if is_subject(evidence, pod)}
    return sent or [call for call in troubled if call.dst in own]


def culprits(evidence: Evidence) -> set[Ref]:
    """The subject, and workloads that failing calls were meant for."""
    found = {evidence.subject}
    for call in failures(evidence):
        if call.dst.name:
            found.add(call.dst)
        found |= {pod.owner for pod in behind(evidence, call)}
    return found


def suspects(evidence: Evidence) -> list[Pod]:
    """Pods of the subject and of those whom its failing calls were meant for."""
    blamed = culprits(evidence)
    return [pod for pod in evidence.pods if pod.owner in blamed or is_subject(evidence, pod)]


def is_subject(evidence: Evidence, pod: Pod) -> bool:
    """Whether the pod is, or belongs to, what was asked about."""
    subject = evidence.subject
    if subject.namespace != pod.namespace:
        return False
    if subject.kind == "service":
        service = find(evidence, subject.namespace, subject.name)
        return service is not None and serves(service, pod)
    return subject in (pod.owner, pod.ref)


def behind(evidence: Evidence, call: Call) -> list[Pod]:
    """The pods behind the Service of a call."""
    service = find(evidence, call.dst.namespace, call.service) if call.service else None
    if service is None:
        return []
    return pods_of(evidence, service)


def called(evidence: Evidence) -> list[Service]:
    """The subject's own Services, and those of failing calls."""
    names = {(call.dst.namespace, call.service) for call in failures(evidence) if call.service}
    if evidence.subject.kind == "service":
        names.add((evidence.subject.namespace, evidence.subject.name))
    mine = [pod for pod in evidence.pods if is_subject(evidence, pod)]
    return [
        service
        for service in evidence.services
        if (service.namespace, service.name) in names or any(serves(service, pod) for pod in mine)
    ]


def makers(evidence: Evidence) -> set[Ref]:
    """The culprits, and what should make pods for a failing Service that has no endpoints."""
    empty = [service for service in called(evidence) if not service.ready]
    return culprits(evidence) | {one.ref for one in evidence.workloads if any(wants(service, one) for service in empty)}


def pods_of(evidence: Evidence, service: Service) -> list[Pod]:
    """The pods that a Service selects."""
    return [pod for pod in evidence.pods if serves(service, pod)]


def serves(service: Service, pod: Pod) -> bool:
    """Whether the Service leads to the pod."""
    return service.namespace == pod.namespace and _selects(service.selector, pod.labels)


def wants(service: Service, workload: Workload) -> bool:
    """Whether the Service leads to the pods that the workload makes."""
    return service.namespace == workload.ref.namespace and _selects(service.selector, workload.labels)


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """An empty selector of a Service selects nothing."""
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def find(evidence: Evidence, namespace: str, name: str) -> Service | None:
    """A Service by name."""
    return next((one for one in evidence.services if (one.namespace, one.name) == (namespace, name)), None)


def told(calls: Sequence[Call], limit: int = 3) -> tuple[str, ...]:
    """Failed calls as evidence, the same ones counted: `12 times POST /brew → kettle: HTTP 500`."""
    counted = Counter((call.method, call.path.partition("?")[0], target(call), call.answer) for call in calls)
    return tuple(f"{n} times {m} {path} → {to}: {answer}" for (m, path, to, answer), n in counted.most_common(limit))


def target(call: Call) -> str:
    """Whom a call was meant for."""
    return call.service or str(call.dst) if call.dst.name or call.service else "an address outside the mesh"


def _by_edge(calls: Iterable[Call]) -> dict[tuple[object, ...], list[Call]]:
    edges: dict[tuple[object, ...], list[Call]] = defaultdict(list)
    for call in calls:
        edges[call.outbound, call.src, call.dst.namespace, call.service or call.dst].append(call)
    return edges


def _fails(calls: Sequence[Call]) -> bool:
    failed = sum(call.failed for call in calls)
    return failed >= FEW or failed >= SHARE * len(calls) > 0 < failed
