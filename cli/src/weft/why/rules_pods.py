"""Causes that lie in pods: they do not start, end again, or are not ready. Pure."""

from collections.abc import Iterator

from weft.why.failing import failures, is_subject, makers, suspects
from weft.why.model import Cause, Container, Evidence, Pod

IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
PROXY = "weft-proxy"
START_SECONDS = 60.0
"""A pod that is younger may still be starting, while others do its work."""

RECENT_SECONDS = 15 * 60
"""What a container that runs well again died of before is no trouble of today."""


def unschedulable(evidence: Evidence) -> Iterator[Cause]:
    """No node takes the pod."""
    for pod in suspects(evidence):
        if pod.unschedulable:
            yield Cause(
                "unschedulable",
                _weight(evidence, pod, 90),
                f"no node takes the pods of {pod.owner}",
                f"Free resources, add a node, or lower what the pod asks for: {_describe(pod)}",
                (f"{pod.name}: {pod.unschedulable}",),
            )


def image(evidence: Evidence) -> Iterator[Cause]:
    """The image cannot be pulled."""
    for pod, container in _containers(evidence):
        if container.waiting in IMAGE:
            yield Cause(
                "image-pull",
                _weight(evidence, pod, 92),
                f"the image of container {container.name} of {pod.owner} cannot be pulled",
                f"Correct the image's name or its pull secret: {_describe(pod)}",
                _waits(pod, container),
            )


def configuration(evidence: Evidence) -> Iterator[Cause]:
    """A Secret, ConfigMap or command is missing."""
    for pod, container in _containers(evidence):
        if container.waiting in CONFIG:
            yield Cause(
                "container-config",
                _weight(evidence, pod, 92),
                f"container {container.name} of {pod.owner} cannot be created",
                f"Make what its specification names: {_describe(pod)}",
                _waits(pod, container),
            )


def out_of_memory(evidence: Evidence) -> Iterator[Cause]:
    """The kernel ends it at its memory limit."""
    for pod, container in _containers(evidence):
        lately = not container.ready or container.ended_at > evidence.now - RECENT_SECONDS
        if container.ended == "OOMKilled" and lately:
            yield Cause(
                "oom-killed",
                _weight(evidence, pod, 95),
                f"container {container.name} of {pod.owner} is killed because it is out of memory",
                "Raise its memory limit (resources.limits.memory), or find what grows.",
                (f"{pod.name}: OOMKilled, {container.restarts} restarts",),
            )


def crash_loop(evidence: Evidence) -> Iterator[Cause]:
    """It ends again and again."""
    for pod, container in _containers(evidence):
        crashed = container.ended not in ("", "Completed", "OOMKilled")
        looping = container.waiting == "CrashLoopBackOff" or (crashed and container.restarts and not container.ready)
        if looping and container.ended != "OOMKilled":
            yield Cause(
                "crash-loop",
                _weight(evidence, pod, 91),
                f"container {container.name} of {pod.owner} crashes again and again",
                f"Read why: kubectl -n {pod.namespace} logs {pod.name} -c {container.name} --previous",
                (f"{pod.name}: exit code {container.exit_code}, {container.restarts} restarts",),
            )


def proxy_not_ready(evidence: Evidence) -> Iterator[Cause]:
    """The pod waits for its proxy, and the proxy for the control plane."""
    for pod, container in _containers(evidence):
        if container.name == PROXY and not container.ready and container.running and not _starts(evidence, pod):
            yield Cause(
                "proxy-not-ready",
                _weight(evidence, pod, 80),
                f"the proxy of {pod.owner} is not ready, so its application has not started",
                f"Read what it waits for: kubectl -n {pod.namespace} logs {pod.name} -c {PROXY}; then `weft check`",
                (pod.name,),
            )


def not_ready(evidence: Evidence) -> Iterator[Cause]:
    """It runs, and says that it is not ready."""
    for pod, container in _containers(evidence):
        waits = container.running and not container.ready and not container.ended
        if waits and container.name != PROXY and not _starts(evidence, pod):
            said = [e.message for e in evidence.events if e.about == pod.ref and e.reason == "Unhealthy"]
            yield Cause(
                "readiness",
                _weight(evidence, pod, 85),
                f"container {container.name} of {pod.owner} runs and is not ready",
                f"See what its readiness probe asks: {_describe(pod)}",
                (f"{pod.name}: {said[-1] if said else 'its readiness probe does not succeed'}",),
            )


def scaled_to_zero(evidence: Evidence) -> Iterator[Cause]:
    """Nobody wants it to run."""
    for workload in evidence.workloads:
        if workload.replicas == 0 and workload.ref in makers(evidence):
            where = f"-n {workload.ref.namespace} {workload.ref}"
            yield Cause(
                "scaled-to-zero",
                93,
                f"{workload.ref} is scaled to 0",
                f"kubectl scale {where} --replicas=1",
                ("spec.replicas is 0",),
            )


def not_created(evidence: Evidence) -> Iterator[Cause]:
    """The API server refuses its pods: quota, Pod Security, or a webhook."""
    wanted = makers(evidence)
    for event in evidence.events:
        of = event.about.maker
        since = any(pod.owner == of and pod.created > event.at for pod in evidence.pods)
        if event.reason == "FailedCreate" and of in wanted and not since:
            yield Cause(
                "pods-refused",
                90,
                f"Kubernetes refuses the pods of {event.about}",
                "Change what the message names.",
                (event.message,),
            )


def _weight(evidence: Evidence, pod: Pod, full: int) -> int:
    """Half while others do its work and no failing call went to the pod: what fails then, fails elsewhere."""
    hit = any(call.pod == pod.name and call.dst.namespace == pod.namespace for call in failures(evidence))
    return full if hit or not _sisters(evidence, pod) else full // 2


def _starts(evidence: Evidence, pod: Pod) -> bool:
    return pod.created > evidence.now - START_SECONDS and _sisters(evidence, pod)


def _sisters(evidence: Evidence, pod: Pod) -> bool:
    """Whether other pods of its workload are ready."""
    return any(other.ready for other in evidence.pods if other.owner == pod.owner and other != pod)


def _containers(evidence: Evidence) -> Iterator[tuple[Pod, Container]]:
    """Of suspect pods; of many that ail alike, the first."""
    seen = set()
    for pod in sorted(suspects(evidence), key=lambda pod: (not is_subject(evidence, pod), pod.name)):
        for container in pod.containers:
            ailing = (pod.owner, container.name, container.waiting, container.ended, container.ready)
            if ailing not in seen:
                seen.add(ailing)
                yield pod, container


def _waits(pod: Pod, container: Container) -> tuple[str, ...]:
    return (f"{pod.name}: {container.waiting} {container.message}".strip(),)


def _describe(pod: Pod) -> str:
    return f"kubectl -n {pod.namespace} describe pod {pod.name}"
