"""Calls that policies denied, or would deny were drafts in audit enforced. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from weft_web.model import Problem, Ref
from weft_web.notes import SHORT

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Denied:
    """Calls of one client that one policy denied within the window."""

    count: float
    policy: str
    mode: str
    peer_identity: str


def denials(found: Mapping[Ref, list[Denied]]) -> Iterator[Problem]:
    """A problem for each workload whose callers are denied, and one for each that a draft would deny."""
    for ref, denied in sorted(found.items(), key=lambda one: (one[0].namespace, one[0].name)):
        for mode, said in (("enforce", "policies denied"), ("audit", "policies in audit would have denied")):
            of = sorted((one for one in denied if one.mode == mode), key=lambda one: -one.count)
            if of:
                yield _problem(ref, mode, said, of)


def _problem(ref: Ref, mode: str, said: str, denied: list[Denied]) -> Problem:
    path = f"{ref.namespace}/{ref.kind}/{ref.name}"
    title = f"{ref.kind}/{ref.name} in {ref.namespace}: {said} {sum(one.count for one in denied):.0f} calls"
    cause = f"{denied[0].policy} does not let {_client(denied[0])} in"
    told = [f"{one.count:.0f} times {_client(one)} by {one.policy}" for one in denied[:SHOWN]]
    hint = f"weft -n {ref.namespace} authz list {SHORT.get(ref.kind, ref.kind)}/{ref.name}"
    return Problem(f"denied-{mode}:{path}", "warning", ref.namespace, title, cause, told, hint, f"/namespaces/{path}")


def _client(one: Denied) -> str:
    return one.peer_identity.partition("/ns/")[2].replace("/sa/", "/") or "clients outside the mesh"
