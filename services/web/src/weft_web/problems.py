"""What is wrong, most likely why, and what shows it. Pure.

A workload whose answers fail is a problem. If calls it makes fail too, these are the likely cause, and it ranks behind
whom it calls, as far as that chain goes. Then come its pods' state, a rollout within the last quarter of an hour, and
the answers themselves.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from weft_kube.names import INJECT
from weft_kube.objects import Object, Pod
from weft_kube.workloads import in_mesh, owners

from weft_web.catalog import Rollout, born, status
from weft_web.denials import Denied, denials
from weft_web.model import Check, Edge, Problem, Ref, Row
from weft_web.notes import SHORT, listed

CRITICAL, WARNING = 0.9, 0.95
"""Success rates: below the first it is critical, below the second a warning."""

RECENT_SECONDS = 15 * 60
STEPS = 8
"""A chain of failing calls is followed so far."""

PATIENCE_SECONDS = 5 * 60
"""So long a pod may take to become ready."""

COMING = ("Running", "Pending", "ContainerCreating", "PodInitializing")
GONE = ("Completed", "Succeeded", "Terminating")
CODES = {
    "E101": "no route for the request",
    "E102": "the control plane does not know the destination",
    "E103": "connecting failed",
    "E104": "no ready endpoints",
    "E105": "the request took too long",
    "E106": "the peer's identity could not be verified",
    "E107": "the request went in a loop",
    "E108": "the peer does not speak the protocol",
    "E110": "too many requests were waiting",
    "E111": "the connection was lost",
    "E112": "the request was malformed",
    "E113": "the route cannot be followed",
    "E114": "a policy denied the request",
    "E115": "a rate limit was spent",
    "E116": "who may call was not known yet",
    "E117": "a policy denied leaving the mesh",
}
_MESH_CODES = ("E102", "E106")
"""Errors that are the mesh's own affair, whatever the workload does."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed answers of one kind within the window."""

    count: float
    status: str
    grpc_status: str
    peer_identity: str
    route: str


@dataclass(slots=True)
class Evidence:
    """All that is known, by object where it concerns one."""

    rows: list[Row] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    failures: Mapping[Ref, list[Failures]] = field(default_factory=dict)
    errors: Mapping[Ref, Mapping[str, float]] = field(default_factory=dict)
    """The proxies' own errors by code."""
    denied: Mapping[Ref, list[Denied]] = field(default_factory=dict)
    expiry: Mapping[Ref, float] = field(default_factory=dict)
    """Seconds until the first certificate of a workload's pods ends, where that is overdue."""
    lifetime: float = 86_400.0
    """Of a certificate when it is new, in seconds."""
    disconnected: Mapping[Ref, int] = field(default_factory=dict)
    """Proxies without a stream to the control plane."""
    pods: Iterable[Pod] = ()
    namespaces: Iterable[Object] = ()
    rollouts: Mapping[Ref, Rollout] = field(default_factory=dict)
    """The version in use of a workload that has had others, if it was made within RECENT_SECONDS."""
    checks: Iterable[Check] = ()
    now: float = 0.0


def ranked(evidence: Evidence) -> list[Problem]:
    """Worst first: critical ones before warnings, causes before what follows from them."""
    failing = {_ref(row): row for row in evidence.rows if _poor(row.success)}
    troubled = _troubled(evidence.pods, evidence.now)
    steps = _steps(failing, evidence.edges)
    found = [_failing(row, steps[ref], troubled, evidence) for ref, row in failing.items()]
    known = {_ref(row) for row in evidence.rows}
    found += [(1, _edge(edge, evidence)) for edge in evidence.edges if edge.src in known and _lone(edge, failing)]
    rest = (
        *(_checks(evidence), _mesh(evidence), _pods(troubled, failing), _outside(evidence)),
        denials(evidence.denied),
    )
    found += [(1, problem) for problems in rest for problem in problems]
    return [problem for _, problem in sorted(found, key=lambda one: (one[1].severity != "critical", one[0]))]


def _steps(failing: Iterable[Ref], edges: Iterable[Edge]) -> dict[Ref, int]:
    """How far each is from what began it: 0 if none that it calls fails, else one more than the farthest of those."""
    steps = dict.fromkeys(failing, 0)
    poor = [(edge.src, edge.dst) for edge in edges if _poor(edge.success) and edge.src != edge.dst]
    chains = [(src, dst) for src, dst in poor if src in steps and dst in steps]
    for _ in range(STEPS):  # those who call each other in a ring end here, too
        for src, dst in chains:
            steps[src] = max(steps[src], min(STEPS, steps[dst] + 1))
    return steps


def _failing(row: Row, steps: int, troubled: Mapping[Ref, list[str]], evidence: Evidence) -> tuple[float, Problem]:
    """A workload's problem and its rank: 0 to 1 by how many fail, 2 and more for what follows from another."""
    ref, failures = _ref(row), evidence.failures.get(_ref(row), [])
    calls = [edge for edge in evidence.edges if edge.src == ref and edge.dst != ref and _poor(edge.success)]
    cause = _cause(ref, calls, troubled, evidence) or _own_answer(failures, evidence.errors.get(ref, {}))
    rank = (steps + 1 if steps else 0) + (row.success or 0.0)
    shown = [*_told(failures), *_codes(evidence.errors.get(ref, {}))]
    title = f"{row.kind}/{row.name} in {row.namespace}: {_percent(row.success)} of its answers are good"
    return rank, _problem(
        "failing", ref, _severity(row.success), title=title, cause=cause, evidence=shown, hint=_why(ref)
    )


def _cause(ref: Ref, calls: list[Edge], troubled: Mapping[Ref, list[str]], evidence: Evidence) -> str:
    if calls:
        worst = min(calls, key=lambda edge: edge.success or 0)
        return f"its calls to {_name(worst.dst, ref.namespace)} fail: {_percent(worst.success)} are good"
    if states := troubled.get(ref):
        return f"its pods are not well: {listed(states)}"
    if rollout := evidence.rollouts.get(ref):
        minutes = max(1, round((evidence.now - rollout.began) / 60))
        return f"a new version began {minutes} min ago: {rollout.name}, revision {rollout.revision}"
    return ""


def _own_answer(failures: list[Failures], codes: Mapping[str, float]) -> str:
    """The proxy's own answers when they are half of the failed ones or more, else the application's."""
    worst = max(codes, key=lambda code: codes[code], default="")
    if worst and 2 * codes[worst] >= sum(one.count for one in failures):
        return f"its proxy answers for it: {worst} {CODES.get(worst, '')}"
    if not failures:
        return "its proxies saw failed answers, and no more is known of them yet"
    return f"it answers {_answer(max(failures, key=lambda one: one.count))} itself: what it calls is well"


def _lone(edge: Edge, failing: Mapping[Ref, Row]) -> bool:
    """Calls that fail though neither end is a problem of its own: they fail on the way."""
    return _poor(edge.success) and edge.src not in failing and edge.dst not in failing


def _edge(edge: Edge, evidence: Evidence) -> Problem:
    title = f"{_name(edge.src)} → {_name(edge.dst, edge.src.namespace)}: {_percent(edge.success)} of its calls succeed"
    codes = evidence.errors.get(edge.src, {})
    hint = _why(edge.src)
    what = f"edge to {edge.dst.namespace}/{edge.dst.kind}/{edge.dst.name} {edge.server_id} {edge.tls}"
    cause, severity = _way(edge, codes, evidence.rows), _severity(edge.success)
    return _problem(what, edge.src, severity, title=title, cause=cause, evidence=_codes(codes), hint=hint)


def _way(edge: Edge, codes: Mapping[str, float], rows: list[Row]) -> str:
    """Why calls fail on the way. The proxy's codes are of all that the caller calls, so they are only likely ones."""
    worst = max(codes, key=lambda code: codes[code], default="")
    if edge.dst.kind == "service":
        return f"no server was reached: {worst} {CODES.get(worst, '')}" if worst else "no server was reached"
    if any(_ref(row) == edge.dst and row.success is not None for row in rows):
        return "the server's own proxies see no such failures: they happen on the way"
    return "the server's side is not known: it has no proxy, or no numbers"


def _checks(evidence: Evidence) -> Iterator[Problem]:
    for check in evidence.checks:
        if check.result != "success":
            severity = "critical" if check.result == "error" else "warning"
            yield Problem(check.id, severity, "", f"{check.name}: {check.message}", "", [], check.hint, "/check")


def _mesh(evidence: Evidence) -> Iterator[Problem]:
    """Certificates, ties to the control plane, and errors of the proxies that are the mesh's own."""
    for ref, left in evidence.expiry.items():
        ends = f"ends in {left / 60:.0f} min" if left > 0 else "has ended"
        title, cause = f"{_name(ref)}: its certificate {ends}", "its proxy could not renew it"
        hint = "weft check --proxy; is the pod of identity ready?"
        severity = "critical" if left < evidence.lifetime / 16 else "warning"
        yield _problem("certificate", ref, severity, title=title, cause=cause, evidence=[], hint=hint)
    for ref, count in evidence.disconnected.items():
        title = f"{_name(ref)}: {_proxies(count)} no tie to the control plane"
        cause = "destination cannot be reached: traffic goes on with what the proxy knew"
        yield _problem("disconnected", ref, "warning", title=title, cause=cause, evidence=[], hint="weft check")
    for ref, codes in evidence.errors.items():
        for code in _MESH_CODES:
            if codes.get(code):
                title = f"{_name(ref)}: its proxy counted {codes[code]:.0f} times {code}"
                yield _problem(
                    code,
                    ref,
                    "warning",
                    title=title,
                    cause=CODES[code],
                    evidence=[],
                    hint=f"weft -n {ref.namespace} check --proxy",
                )


def _pods(troubled: Mapping[Ref, list[str]], failing: Mapping[Ref, Row]) -> Iterator[Problem]:
    for ref, states in troubled.items():
        if ref not in failing:
            hint = f"kubectl -n {ref.namespace} describe {_short(ref)}"
            yield _problem(
                "pods",
                ref,
                "warning",
                title=f"{_name(ref)}: pods are not well",
                cause=listed(states),
                evidence=[],
                hint=hint,
            )


def _outside(evidence: Evidence) -> Iterator[Problem]:
    """Pods without proxy in a workload that has some, or in a namespace that is marked for injection."""
    marked = {one.metadata.name for one in evidence.namespaces if one.metadata.labels.get(INJECT) == "enabled"}
    for row in evidence.rows:
        lacking = row.meshed.running - row.meshed.pods if row.meshed else 0
        if lacking and row.meshed and (row.meshed.pods or row.namespace in marked):
            title = f"{row.kind}/{row.name} in {row.namespace}: {lacking} of {row.meshed.running} pods have no proxy"
            cause = "they began before the mesh was told to inject them, or the injector was away"
            hint = f"kubectl -n {row.namespace} rollout restart {_short(_ref(row))}"
            yield _problem("outside", _ref(row), "warning", title=title, cause=cause, evidence=[], hint=hint)


def _troubled(pods: Iterable[Pod], now: float) -> dict[Ref, list[str]]:
    """States of meshed pods that are not well, by their outermost owner."""
    found: dict[Ref, list[str]] = defaultdict(list)
    for pod in pods:
        if in_mesh(pod) and (state := _trouble(pod, now)):
            kind, name = (owners(pod.metadata) or [("pod", pod.metadata.name)])[-1]
            found[Ref(pod.metadata.namespace, kind, name)].append(f"{pod.metadata.name} is {state}")
    return found


def _trouble(pod: Pod, now: float) -> str:
    """What a pod's state is, if it is none that is well, or passes soon; else empty."""
    state, age = status(pod), now - born(pod)
    if state not in COMING:
        return "" if state in GONE else state
    refused = {one.type: one for one in pod.status.conditions if one.status == "False"}
    if age < PATIENCE_SECONDS or (state == "Running" and "Ready" not in refused):
        return ""
    if state == "Running":
        return "" if refused["Ready"].reason == "PodCompleted" else "Running, but not ready"
    why = refused["PodScheduled"].message if "PodScheduled" in refused else ""
    return f"{state} for {age / 60:.0f} min" + (f": {why}" if why else "")


def _severity(success: float | None) -> str:
    return "critical" if success is not None and success < CRITICAL else "warning"


def _problem(what: str, ref: Ref, severity: str, *, title: str, cause: str, evidence: list[str], hint: str) -> Problem:
    path = f"{ref.namespace}/{ref.kind}/{ref.name}"
    return Problem(f"{what}:{path}", severity, ref.namespace, title, cause, evidence, hint, f"/namespaces/{path}")


def _told(failures: list[Failures]) -> list[str]:
    worst = sorted(failures, key=lambda one: -one.count)[:3]
    return [f"{one.count:.0f} times {_answer(one)} to {_client(one)}{_route(one)}" for one in worst]


def _client(one: Failures) -> str:
    return one.peer_identity.partition("/ns/")[2].replace("/sa/", "/") or "clients outside the mesh"


def _route(one: Failures) -> str:
    return f", route {one.route}" if one.route else ""


def _answer(one: Failures) -> str:
    return f"gRPC {one.grpc_status}" if one.grpc_status not in ("", "0") else f"HTTP {one.status or 'nothing'}"


def _codes(codes: Mapping[str, float]) -> list[str]:
    return [f"{count:.0f} times {code} {CODES.get(code, '')}" for code, count in sorted(codes.items()) if count]


def _poor(success: float | None) -> bool:
    return success is not None and success < WARNING


def _percent(success: float | None) -> str:
    return f"{(success or 0) * 100:.2f} %"


def _ref(row: Row) -> Ref:
    return Ref(row.namespace, row.kind, row.name)


def _name(ref: Ref, near: str = "") -> str:
    if not ref.name:
        return "an address outside the mesh"
    return f"{ref.kind}/{ref.name}" + ("" if ref.namespace == near else f" in {ref.namespace}")


def _short(ref: Ref) -> str:
    return f"{SHORT.get(ref.kind, ref.kind)}/{ref.name}"


def _why(ref: Ref) -> str:
    return f"weft -n {ref.namespace} why {_short(ref)}"


def _proxies(count: int) -> str:
    return "1 proxy has" if count == 1 else f"{count} proxies have"
