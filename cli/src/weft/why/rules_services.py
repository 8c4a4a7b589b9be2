"""Causes between a caller and its server: Services, ports, names, networks. Pure."""

import difflib
from collections.abc import Iterator

from weft.why.failing import behind, called, failures, pods_of, told, wants
from weft.why.model import Call, Cause, Evidence, Pod, Policy, Service

DROPPED = ("timed out", "deadline has elapsed", "took longer", "No route to host", "did not answer")


def no_selector(evidence: Evidence) -> Iterator[Cause]:
    """A Service that leads nowhere by itself."""
    for service in called(evidence):
        if not service.selector and not service.ready and not service.external:
            yield Cause(
                "service-without-selector",
                89,
                f"service/{service.name} has no selector, and nobody gives it endpoints",
                f"Give it the labels of the pods: kubectl -n {service.namespace} edit svc {service.name}",
                ("spec.selector is empty, and there is no EndpointSlice with a ready endpoint",),
            )


def selects_nothing(evidence: Evidence) -> Iterator[Cause]:
    """A Service whose selector is no pod's."""
    for service in called(evidence):
        made = pods_of(evidence, service) or any(wants(service, workload) for workload in evidence.workloads)
        if service.selector and not made:
            labels = ",".join(f"{name}={value}" for name, value in service.selector.items())
            yield Cause(
                "selector-matches-no-pod",
                89,
                f"service/{service.name} selects {labels}, and no pod has these labels",
                f"Compare: kubectl -n {service.namespace} get pods --show-labels",
                (f"no pod in namespace {service.namespace} matches",),
            )


def wrong_target_port(evidence: Evidence) -> Iterator[Cause]:
    """A Service that leads to a port on which nobody listens, though the pods declare others."""
    refused = {(call.dst.namespace, call.service) for call in failures(evidence) if _refused(call)}
    for service in called(evidence):
        pods = [pod for pod in pods_of(evidence, service) if pod.ready and pod.ports]
        for port in service.ports:
            lost = (service.namespace, service.name) in refused or not service.ready
            if lost and pods and not any(_has_port(pod, port.target) for pod in pods):
                declared = ", ".join(str(declared) for declared in pods[0].ports)
                yield Cause(
                    "wrong-target-port",
                    88,
                    f"port {port.number} of service/{service.name} leads to {port.target}, where no pod listens",
                    f"Set targetPort to one of {declared}: kubectl -n {service.namespace} edit svc {service.name}",
                    (f"the pods declare {declared}", *told(_to(evidence, service))),
                )


def refused(evidence: Evidence) -> Iterator[Cause]:
    """Nobody listens at the endpoint, or whoever does closes at once."""
    calls = [call for call in failures(evidence) if _refused(call)]
    if calls:
        name = calls[0].service or str(calls[0].dst)
        yield Cause(
            "connection-refused",
            76,
            f"nothing listens where {name} should",
            "See that the application listens on its Service's targetPort, on all addresses (not 127.0.0.1 alone).",
            told(calls),
        )


def dropped(evidence: Evidence) -> Iterator[Cause]:
    """Packets vanish: a NetworkPolicy, or the network."""
    calls = [c for c in failures(evidence) if c.code == "E103" and any(words in c.error for words in DROPPED)]
    if not calls:
        return
    name = calls[0].service or str(calls[0].dst)
    policy = _policy(evidence, calls[0])
    if policy:
        yield Cause(
            "network-policy",
            90,
            f"NetworkPolicy {policy.name} keeps calls away from {name}",
            f"Allow the callers, and port 4143: kubectl -n {policy.namespace} edit networkpolicy {policy.name}",
            told(calls),
        )
    else:
        yield Cause(
            "packets-dropped",
            77,
            f"connections to {name} get no answer: packets are dropped on the way",
            "Look at NetworkPolicies, the node's firewall and the CNI.",
            told(calls),
        )


def no_endpoints(evidence: Evidence) -> Iterator[Cause]:
    """What is left when no better reason is known."""
    calls = [call for call in failures(evidence) if call.code == "E104"]
    empty = [service for service in called(evidence) if not service.ready and not service.external]
    for name in {f"{call.service}.{call.dst.namespace}" for call in calls} | {f"{s.name}.{s.namespace}" for s in empty}:
        yield Cause(
            "no-ready-endpoints",
            60,
            f"service {name} has no endpoint that is ready",
            f"See its pods: weft why svc/{name.partition('.')[0]} -n {name.partition('.')[2]}",
            told([call for call in calls if f"{call.service}.{call.dst.namespace}" == name]),
        )


def unknown_name(evidence: Evidence) -> Iterator[Cause]:
    """The application asks for a name that does not exist; one that exists is DNS's own trouble, and soon over."""
    known = {service.name for service in evidence.services}
    for name in evidence.unknown_names:
        first = name.partition(".")[0]
        said = (f"its log says that {name} cannot be resolved",)
        if first in known and not failures(evidence):
            continue
        if first in known:
            yield Cause(
                "dns",
                48,
                f"DNS did not resolve {name} for {evidence.subject}, although service/{first} exists",
                "See that CoreDNS is ready: kubectl -n kube-system get pods -l k8s-app=kube-dns",
                said,
            )
            continue
        near = difflib.get_close_matches(first, sorted(known), n=1)
        yield Cause(
            "dns-name",
            83,
            f"{evidence.subject} calls {name}, a name that DNS does not know",
            f"Correct the name in its configuration{f' (service {near[0]} exists)' if near else ''}.",
            said,
        )


def opaque(evidence: Evidence) -> Iterator[Cause]:
    """A port that does not speak what it is taken for."""
    calls = [call for call in failures(evidence) if call.code == "E108"]
    if calls:
        name = calls[0].service or str(calls[0].dst)
        yield Cause(
            "protocol",
            78,
            f"{name} does not speak the protocol that its port declares",
            "Correct the port's appProtocol, or make it opaque: annotation config.weft.dev/opaque-ports.",
            told(calls),
        )


def _refused(call: Call) -> bool:
    return call.code == "E103" and not any(words in call.error for words in DROPPED)


def _to(evidence: Evidence, service: Service) -> list[Call]:
    wanted = (service.namespace, service.name)
    return [call for call in failures(evidence) if (call.dst.namespace, call.service) == wanted]


def _has_port(pod: Pod, target: str) -> bool:
    """A target port is a number, or a name that each pod gives to a number of its own."""
    return any(target in (str(port.number), port.name) for port in pod.ports)


def _policy(evidence: Evidence, call: Call) -> Policy | None:
    pods = behind(evidence, call) or [pod for pod in evidence.pods if pod.owner == call.dst]
    matching = (
        policy
        for policy in evidence.policies
        if any(policy.namespace == pod.namespace and _covers(policy, pod) for pod in pods)
    )
    return next(matching, None)


def _covers(policy: Policy, pod: Pod) -> bool:
    return all(pod.labels.get(name) == value for name, value in policy.selector.items())
