"""Causes that lie in the mesh: control plane, certificates, injection, breakers. Pure."""

from collections.abc import Iterator

from weft.why.failing import culprits, failures, suspects, target, told
from weft.why.model import Call, Cause, Evidence, Ref

PROXY = "weft-proxy"
NEEDED = ("destination", "identity")
"""Components without which proxies cannot start or find their way."""


def control_plane(evidence: Evidence) -> Iterator[Cause]:
    """A component is down. Proxies go on with what they know: it is the cause only where one asked in vain."""
    unknown = [call for call in failures(evidence) if call.code == "E102"]
    asking = bool(unknown) or any(c.name == PROXY and not c.ready for pod in suspects(evidence) for c in pod.containers)
    for name, state in evidence.unready.items():
        weight = 96 if asking and name in NEEDED else 45
        yield Cause(
            f"control-plane-{name}",
            weight,
            f"{name} of the control plane is not ready",
            f"weft check; kubectl -n weft describe deploy {name}",
            (state, *told(unknown)),
        )
    if unknown and "destination" not in evidence.unready:
        yield Cause(
            "destination-unreachable",
            74,
            "the control plane does not answer the callers' proxies",
            "Look for a NetworkPolicy that keeps pods from destination.weft:8086; `weft diagnostics proxies`.",
            told(unknown),
        )


def certificate(evidence: Evidence) -> Iterator[Cause]:
    """A proxy without a valid certificate can neither call nor be called."""
    for pod in suspects(evidence):
        ends = evidence.expiry.get((pod.namespace, pod.name))
        if ends is not None and ends <= evidence.now:
            state = f"ended {(evidence.now - ends) / 60:.0f} min ago" if ends else "was never given"
            yield Cause(
                "certificate",
                94,
                f"the certificate of {pod.name} {state}",
                f"weft check --proxy; kubectl -n {pod.namespace} logs {pod.name} -c weft-proxy",
                told([call for call in failures(evidence) if call.code == "E106"]),
            )


def identity(evidence: Evidence) -> Iterator[Cause]:
    """The other side is not whom it should be."""
    calls = [call for call in failures(evidence) if call.code == "E106"]
    if calls:
        yield Cause(
            "identity",
            75,
            f"mutual TLS with {calls[0].service or calls[0].dst} fails",
            "weft check: do both sides trust the same anchor? A pod that was just replaced gets known within seconds.",
            told(calls),
        )


REFUSALS = {
    "E114": ("denied", "a policy does not let {src} call {target}", "See who decides: {question}"),
    "E115": (
        "rate-limited",
        "{src} calls {target} more often than a policy allows",
        "weft authz list tells the limit.",
    ),
    "E116": ("policy-unknown", "nobody has told {target} yet who may call it", "Is destination ready? weft check"),
    "E117": (
        "egress-denied",
        "a policy does not let {src} call {target}",
        "Add it to spec.egress.allow of an AccessPolicy.",
    ),
}
"""What policies refuse, by code of the error: id, title and fix of the cause."""


def refused(evidence: Evidence) -> Iterator[Cause]:
    """A policy refuses calls. They are no failures of the server, so they are looked for apart."""
    blamed = culprits(evidence)
    for code, (id_, title, fix) in REFUSALS.items():
        calls = [c for c in evidence.calls if c.outbound and c.code == code and _concerns(evidence, blamed, c)]
        for call in calls[-1:]:
            words = {"src": call.src, "target": target(call), "question": _question(call)}
            yield Cause(id_, 87, title.format(**words), fix.format(**words), told(calls))


def _question(call: Call) -> str:
    """The command that says which rule decides about the call."""
    ends = f"--from {call.src} --from-namespace {call.src.namespace} --to svc/{call.service}"
    return f"weft -n {call.dst.namespace} authz can {ends} {call.method} {call.path.partition('?')[0]}"


def _concerns(evidence: Evidence, blamed: set[Ref], call: Call) -> bool:
    """Whether it is a call of those in trouble, or one to the Service that was asked about."""
    return call.src in blamed or Ref(call.dst.namespace, "service", call.service) == evidence.subject


def not_injected(evidence: Evidence) -> Iterator[Cause]:
    """The subject has no proxy although it is marked."""
    bare = [pod for pod in suspects(evidence) if pod.wants_proxy and not pod.meshed]
    for pod in bare[:1]:
        told_of = (pod.owner, pod.ref)
        skipped = [e for e in evidence.events if e.reason == "InjectionSkipped" and e.about.maker in told_of]
        if skipped:
            yield Cause(
                "injection-skipped",
                66,
                f"{pod.owner} has no proxy: the injector skipped it",
                "Change what the event names, then restart the workload.",
                (skipped[-1].message,),
            )
        else:
            yield Cause(
                "not-injected",
                65,
                f"{pod.owner} is marked for the mesh and has no proxy",
                f"It is older than its mark: kubectl -n {pod.namespace} rollout restart {pod.owner}",
                (f"{len(bare)} pods without proxy, among them {pod.name}",),
            )


def plain_peer(evidence: Evidence) -> Iterator[Cause]:
    """Calls fail that go past the mesh: the server's side has no proxy that could tell more."""
    calls = [call for call in failures(evidence) if call.outbound and call.tls == "no_identity" and call.dst.name]
    meshed = {pod.owner for pod in evidence.pods if pod.meshed}
    for call in calls[:1]:
        if call.dst not in meshed:
            yield Cause(
                "peer-not-meshed",
                40,
                f"{call.dst} is not in the mesh: calls to it are in plain text, and its side cannot be seen",
                f"kubectl get -n {call.dst.namespace} {call.dst} -o yaml | weft inject - | kubectl apply -f -",
                told(calls),
            )


def breaker(evidence: Evidence) -> Iterator[Cause]:
    """Endpoints are left out because they failed: a symptom, unless nothing else explains."""
    for service, number in evidence.breakers.items():
        if number and any(f"{call.service}.{call.dst.namespace}" == service for call in failures(evidence)):
            yield Cause(
                "breaker-open",
                55,
                f"{number} endpoints of {service} are left out: they failed too often in a row",
                "They are tried again by themselves; look for what made them fail.",
                told([c for c in failures(evidence) if f"{c.service}.{c.dst.namespace}" == service]),
            )


def overloaded(evidence: Evidence) -> Iterator[Cause]:
    """More requests wait than a proxy holds."""
    calls = [call for call in failures(evidence) if call.code == "E110"]
    if calls:
        yield Cause(
            "overloaded",
            79,
            f"too many requests wait for {calls[0].service or calls[0].dst}",
            "Add replicas of the server, or lower the clients' concurrency.",
            told(calls),
        )
