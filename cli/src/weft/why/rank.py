"""From evidence to causes, the likeliest first. Pure."""

from collections.abc import Callable, Iterator

from weft.why import rules_answers, rules_mesh, rules_pods, rules_services
from weft.why.model import Cause, Evidence

RULES: tuple[Callable[[Evidence], Iterator[Cause]], ...] = (
    rules_pods.unschedulable,
    rules_pods.image,
    rules_pods.configuration,
    rules_pods.out_of_memory,
    rules_pods.crash_loop,
    rules_pods.proxy_not_ready,
    rules_pods.not_ready,
    rules_pods.scaled_to_zero,
    rules_pods.not_created,
    rules_services.no_selector,
    rules_services.selects_nothing,
    rules_services.wrong_target_port,
    rules_services.refused,
    rules_services.dropped,
    rules_services.no_endpoints,
    rules_services.unknown_name,
    rules_services.opaque,
    rules_answers.late,
    rules_answers.slow,
    rules_answers.one_pod,
    rules_answers.one_route,
    rules_answers.rollout,
    rules_answers.application,
    rules_answers.lost,
    rules_mesh.control_plane,
    rules_mesh.certificate,
    rules_mesh.identity,
    rules_mesh.refused,
    rules_mesh.not_injected,
    rules_mesh.plain_peer,
    rules_mesh.breaker,
    rules_mesh.overloaded,
)


def causes(evidence: Evidence) -> list[Cause]:
    """All that could explain the trouble, the likeliest first; none on a healthy system. Each title once."""
    found = {cause.title: cause for rule in RULES for cause in rule(evidence)}
    return sorted(found.values(), key=lambda cause: (-cause.weight, cause.title))
