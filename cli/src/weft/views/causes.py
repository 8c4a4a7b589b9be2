"""`weft why` as text and JSON. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from weft.why.failing import path
from weft.why.model import Cause, Evidence

if TYPE_CHECKING:
    from weft.client import Problem, Problems

OTHERS = 4


def text(evidence: Evidence, causes: Sequence[Cause]) -> str:
    """The likeliest cause with its evidence and the fix, then what else could be."""
    if not causes:
        return healthy(evidence)
    (first, *others), steps = causes, path(evidence)
    lines = [click.style(first.title, bold=True)]
    lines += [f"    {line}" for line in first.evidence]
    lines += [f"    failing calls: {' → '.join(steps)}"] if len(steps) > 1 else []
    lines += [f"→ {first.fix}"]
    if others:
        lines += ["", "less likely, or a consequence of it:"]
        lines += [f"  {cause.title}" for cause in others[:OTHERS]]
    return "\n".join(lines)


def healthy(evidence: Evidence) -> str:
    """What was looked at, when nothing is wrong."""
    number = len(evidence.calls)
    if evidence.blind:
        return f"nothing wrong was found with {evidence.subject}, and not everything could be looked at"
    if not number:
        return f"nothing is wrong with {evidence.subject} as far as Kubernetes knows; no requests were seen"
    failed = sum(call.failed for call in evidence.calls)
    return f"nothing is wrong with {evidence.subject}: of its last {number} exchanges {failed} failed"


def problems(found: "Problems") -> str:
    """What is wrong in the mesh, each with its cause, what shows it, and the next step."""
    if told := found["problems"]:
        return "\n\n".join(map(_problem, told))
    if found["warnings"]:
        return "nothing wrong was found, and not everything could be looked at"
    if not found["workloads"]:
        return "nothing wrong was found, but no workload has numbers: none is in the mesh, or none was scraped yet"
    seconds = round(found["window_seconds"])
    return f"nothing is wrong: workloads that were called within the last {seconds} s: {found['workloads']}"


def _problem(one: "Problem") -> str:
    lines = [click.style(f"{one['severity']}: {one['title']}", bold=True)]
    lines += [f"    {line}" for line in (one["cause"], *one["evidence"]) if line]
    lines += [f"→ {one['hint']}"] if one["hint"] else []
    return "\n".join(lines)


def document(evidence: Evidence, causes: Sequence[Cause]) -> dict[str, Any]:
    """For JSON."""
    subject = evidence.subject._asdict()
    looked = {
        "exchanges": len(evidence.calls),
        "failed": sum(call.failed for call in evidence.calls),
        "pods": len(evidence.pods),
        "blind": list(evidence.blind),
    }
    return {
        "subject": subject,
        "path": path(evidence),
        "causes": [asdict(cause) for cause in causes],
        "looked_at": looked,
    }
