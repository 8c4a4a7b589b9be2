"""What policies refused, or would, and what left the mesh, as the proxies counted it."""

from weft_web import promql
from weft_web.model import Leaving, Policies, Refused
from weft_web.prometheus import Prometheus, PrometheusError
from weft_web.question import Question
from weft_web.stat import ask_all
from weft_web.table import group


async def policies(question: Question, prometheus: Prometheus) -> Policies:
    """Those that were counted, the highest count first."""
    window, series = question.window, promql.policy_series(question)
    expressions = {metric: one.grown(metric, window) for metric, one in series.items()}
    try:
        answers = await ask_all(prometheus, expressions)
    except PrometheusError as error:
        return Policies(window, [], [], [str(error)])
    counts = {metric: group(answers[metric], one.by).items() for metric, one in series.items()}
    refused = [Refused(space, name, mode, calls) for (space, name, mode), calls in counts[promql.DENIED] if calls]
    refused += [Refused(space, name, "limit", calls) for (space, name), calls in counts[promql.LIMITED] if calls]
    leaving = [Leaving(space, host, verdict, calls) for (space, host, verdict), calls in counts[promql.EGRESS] if calls]
    refused.sort(key=lambda one: (-one.calls, one.namespace, one.policy))
    leaving.sort(key=lambda one: (-one.calls, one.namespace, one.destination))
    return Policies(window, refused, leaving)
