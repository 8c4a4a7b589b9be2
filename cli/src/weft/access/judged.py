"""What becomes of calls that were observed: destination judges them by the tables that proxies have."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from weft import forward
from weft.access.model import Call, Outcome, Workload, combined, merged, questions
from weft.access.observe import counted, tapped, workloads
from weft.client import through
from weft.cluster import Kube
from weft.errors import Failure
from weft.names import PORT_SERVICE_ADMIN

Json = dict[str, Any]
Known = Mapping[tuple[str, str], Workload]

BATCH = 1_000
"""Calls that are judged by one question."""


def by_key(kube: Kube, namespace: str) -> Known:
    """The workloads with proxies, by what metrics and tap call them."""
    return {one.key: one for one in workloads(kube, namespace)}


def observed(
    kube: Kube, namespace: str, known: Known, window: float, duration: float, *, denied: bool = False
) -> tuple[Counter[Call], Counter[Call]]:
    """Calls of the last `window` seconds by metrics, and requests of the next `duration` seconds by tap. `denied`: also
    those that were denied."""
    calls = counted(through(kube), namespace, window, known, denied=denied)
    return calls, tapped(kube, namespace, duration) if duration else Counter()


def judged(kube: Kube, namespace: str, drafts: list[Json], window: float, duration: float) -> tuple[list[Outcome], int]:
    """What becomes of each call that was observed, with drafts in force, or without any were those in audit, and how
    many could not be judged."""
    known = by_key(kube, namespace)
    by_metrics, by_tap = observed(kube, namespace, known, window, duration, denied=not drafts)
    calls, case = _without_route(by_metrics) + by_tap, "drafted" if drafts else "audited"
    asked = {call: questions(call, known[call.workload]) for call in calls if call.workload in known}
    answers = _verdicts(kube, [one for of in asked.values() for one in of], drafts)
    verdicts = {call: [one for one in islice(answers, len(of)) if one] for call, of in asked.items()}
    outcomes = [combined(call, calls[call], [one[case] for one in of]) for call, of in verdicts.items() if of]
    return merged(outcomes), calls.total() - sum(one.count for one in outcomes)


def _without_route(calls: Counter[Call]) -> Counter[Call]:
    """Requests of all routes, by client: destination judges them alike."""
    found: Counter[Call] = Counter()
    for call, count in calls.items():
        found[replace(call, route="")] += count
    return found


def _verdicts(kube: Kube, calls: list[Json], drafts: list[Json]) -> Iterator[Json | None]:
    for first in range(0, len(calls), BATCH):
        answer = ask(kube, calls[first : first + BATCH], drafts)
        if answer["faults"]:
            raise Failure("; ".join(answer["faults"]), "Correct the draft: `kubectl apply --dry-run=server` says more.")
        yield from answer["verdicts"]


def ask(kube: Kube, calls: list[Json], drafts: list[Json]) -> Json:
    """A verdict for each call."""
    path, body = "/debug/access", {"calls": calls, "drafts": drafts}
    return _answer(path, *forward.post_json(_destination(kube), path, body, "destination"))


def get(kube: Kube, path: str) -> Json:
    """What destination tells proxies."""
    return _answer(path, *forward.get_json(_destination(kube), path, "destination"))


def _destination(kube: Kube) -> forward.Connect:
    return forward.to_component(kube, "destination", PORT_SERVICE_ADMIN)


def _answer(path: str, status: int, answer: Any) -> Json:
    if status >= 400:
        raise Failure(f"destination answered {status} to {path}", "See `weft check`: is it of this CLI's version?")
    return dict(answer)
