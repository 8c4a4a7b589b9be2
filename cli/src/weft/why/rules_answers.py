"""Causes in what servers answer and how long it takes. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from weft.why.failing import behind, failures, target, told
from weft.why.model import Call, Cause, Evidence, Ref

SLOW_SECONDS = 0.3
"""A server whose answers usually take longer is slow; one that is quicker and yet too late has too little time."""

RECENT_SECONDS = 15 * 60
MOST, FEW = 0.5, 0.1
"""Shares of failures: one place fails when it fails mostly, and the others hardly."""


def late(evidence: Evidence) -> Iterator[Cause]:
    """The route's time is over before the answer."""
    calls = [call for call in failures(evidence) if call.code == "E105"]
    if not calls:
        return
    call = calls[0]
    allowed = evidence.timeouts.get((call.dst.namespace, call.service, call.route), 0.0)
    usual = _usual(evidence, call)
    known = (f"route {call.route or '[default]'} allows {allowed:g} s",) if allowed else ()
    measured = (f"the server usually answers within {usual:.3f} s",) if usual is not None else ()
    if 0 < (usual or allowed) < SLOW_SECONDS:
        yield Cause(
            "timeout-too-small",
            84,
            f"the time that route {call.route or '[default]'} of service/{call.service} allows is too short",
            f"Raise it: kubectl -n {call.dst.namespace} edit serviceprofile {call.service}",
            (*known, *measured, *told(calls)),
        )
    else:
        yield Cause(
            "slow-server",
            82,
            f"{target(call)} answers too slowly: its route's time is over first",
            "Look for what it waits for (its own calls, CPU limits), or allow more time.",
            (*known, *measured, *told(calls)),
        )


def slow(evidence: Evidence) -> Iterator[Cause]:
    """Answers that come, but late: the server's own doing if its own calls are quick."""
    sent: dict[str, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        if call.outbound and call.src == evidence.subject and not call.error:
            sent[target(call)].append(call)
    for name, calls in sent.items():
        usual = median(call.latency for call in calls)
        if len(calls) >= 5 and usual > 1.0:
            yield Cause(
                "slow-server",
                70,
                f"{name} answers slowly: half of the calls take more than {usual:.1f} s",
                f"weft -n {calls[0].dst.namespace} viz stat-inbound {calls[0].dst}",
                (f"{len(calls)} calls, the slowest took {max(call.latency for call in calls):.1f} s",),
            )


def one_pod(evidence: Evidence) -> Iterator[Cause]:
    """One pod fails, its sisters do not."""
    for dst, calls in _answered(evidence).items():
        shares = _shares(calls, lambda call: call.pod)
        bad = [pod for pod, share in shares.items() if share >= MOST]
        others = [share for pod, share in shares.items() if pod != bad[0]] if len(bad) == 1 else []
        if others and max(others) <= FEW and not _alone_new(evidence, dst, bad[0]):
            yield Cause(
                "one-pod",
                81,
                f"one pod of {dst} fails, the others do not: {bad[0]}",
                f"Compare its log and node with the others': kubectl -n {dst.namespace} describe pod {bad[0]}",
                told([call for call in calls if call.failed and call.pod == bad[0]]),
            )


def one_route(evidence: Evidence) -> Iterator[Cause]:
    """One method and path fails, the others do not."""
    for dst, calls in _answered(evidence).items():
        shares = _shares(calls, lambda call: f"{call.method} {call.path.partition('?')[0]}")
        bad = [path for path, share in shares.items() if share >= MOST]
        if bad and len(bad) < len(shares) and all(share <= FEW for path, share in shares.items() if path not in bad):
            yield Cause(
                "one-route",
                79,
                f"{dst} fails on {' and '.join(bad[:3])}, and on nothing else",
                f"It is the application's own answer: kubectl -n {dst.namespace} logs {dst}",
                told([call for call in calls if call.failed]),
            )


def rollout(evidence: Evidence) -> Iterator[Cause]:
    """It began with a new version."""
    for workload in evidence.workloads:
        calls = _answered(evidence).get(workload.ref, [])
        failed = [call for call in calls if call.failed]
        age = evidence.now - workload.rolled_out
        if failed and workload.rolled_out and age < RECENT_SECONDS:
            before = [call for call in calls if call.at < workload.rolled_out]
            well = bool(before) and not any(call.failed for call in before)
            yield Cause(
                "rollout",
                80 if well else 72,
                f"{workload.ref} has had a new version for {_minutes(age)}",
                f"Go back if it is the cause: kubectl -n {workload.ref.namespace} rollout undo {workload.ref}",
                (*(["all calls before it were answered well"] if well else []), *told(failed)),
            )


def _alone_new(evidence: Evidence, dst: Ref, pod: str) -> bool:
    """Whether the pod is the first of a new version: then it is no different from those that come."""
    began = max((one.rolled_out for one in evidence.workloads if one.ref == dst), default=0.0)
    new = [one.name for one in evidence.pods if one.owner == dst and one.ready and one.created >= began]
    return began > evidence.now - RECENT_SECONDS and new == [pod]


def application(evidence: Evidence) -> Iterator[Cause]:
    """What is left: the application answers so."""
    for dst, calls in _answered(evidence).items():
        failed = [call for call in calls if call.failed]
        yield Cause(
            "application-error",
            50,
            f"{dst} itself answers {failed[0].answer}",
            f"It is the application's own answer: kubectl -n {dst.namespace} logs {dst}",
            told(failed),
        )


def lost(evidence: Evidence) -> Iterator[Cause]:
    """Connections break while it works on a request."""
    calls = [call for call in failures(evidence) if call.code == "E111"]
    if calls:
        yield Cause(
            "connection-lost",
            58,
            f"{target(calls[0])} closes connections before it has answered",
            "Look for restarts of its pods, and for keep-alive times shorter than its clients'.",
            told(calls),
        )


def _answered(evidence: Evidence) -> dict[Ref, list[Call]]:
    """All calls to the workloads whose application gave failing answers, where the trouble begins."""
    guilty = {call.dst for call in failures(evidence) if not call.error and call.dst.name}
    found: dict[Ref, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        if call.dst in guilty and not call.error:
            found[call.dst].append(call)
    return {dst: _one_side(calls) for dst, calls in found.items()}


def _one_side(calls: Sequence[Call]) -> list[Call]:
    """Each exchange once: what clients saw if they told of it, else what the server's proxies saw."""
    sent = [call for call in calls if call.outbound]
    return sent if any(call.failed for call in sent) else [call for call in calls if not call.outbound]


def _shares(calls: Sequence[Call], key: Callable[[Call], str]) -> dict[str, float]:
    """The share of failures in each group of calls."""
    groups: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        groups[key(call)].append(call)
    return {name: sum(call.failed for call in group) / len(group) for name, group in groups.items()}


def _usual(evidence: Evidence, call: Call) -> float | None:
    """Median seconds of the server's own answers; None when none are known."""
    seen = [
        other.latency
        for other in evidence.calls
        if not (other.error or other.cancelled)
        and other.dst.namespace == call.dst.namespace
        and _same(other, call, evidence)
    ]
    return median(seen) if seen else None


def _same(other: Call, call: Call, evidence: Evidence) -> bool:
    owners = {pod.owner for pod in behind(evidence, call)} | ({call.dst} if call.dst.name else set())
    return not other.outbound and other.dst in owners


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
