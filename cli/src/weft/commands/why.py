"""`weft why`: the cause of trouble."""

import re
from typing import TYPE_CHECKING

import click

from weft import durations
from weft.errors import Failure
from weft.options import Command, Target, output_option, pass_target

if TYPE_CHECKING:
    from weft.cluster import Kube
    from weft.why.collect import Collector
    from weft.why.model import Evidence

NAME = r"[a-z0-9][a-z0-9.-]*"
REQUEST = re.compile(rf"(?:(?P<namespace>{NAME})/)?(?P<pod>{NAME})/(?P<number>\d+)")
ERROR = re.compile(r"E\d{3} .*?(?:svc/)?(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+):\d+")


@click.command(cls=Command)
@click.argument("what", nargs=-1, metavar="TYPE/NAME|[NAMESPACE/]POD/REQUEST|ERROR")
@click.option(
    "--since", callback=durations.option, default="2m", metavar="TIME", help="Look at the last so long (default: 2m)."
)
@output_option("table", "json")
@pass_target
def why(target: Target, what: tuple[str, ...], since: float, output: str) -> None:
    """Name the likeliest cause of failing requests.

    Without an argument it lists what is wrong in the whole mesh, or the namespace of -n, as the dashboard's Home does.
    `weft why deploy/counter -n teahouse` joins what the proxies of both sides saw last, pods, endpoints, routes,
    certificates, rollouts, events and logs into one cause, with evidence and the fix. Given an error that a proxy
    answered ("E104 no ready endpoints of svc/web.shop:80") it looks at what the error names; given what stands
    beside it in the header weft-request-id (NAMESPACE/POD/NUMBER), or a pod and an id of `weft viz tap -o json`
    (POD/NUMBER), at this request.
    """
    kube = target.connect()
    if what:
        _cause(kube, target, what, since, output)
    else:
        _problems(kube, target.namespace or "*", since, output)


def _problems(kube: "Kube", namespace: str, since: float, output: str) -> None:
    from weft.client import through
    from weft.cluster import require_namespace
    from weft.commands.metrics import fail_warned
    from weft.views import causes as views
    from weft.views import table

    require_namespace(kube, namespace)
    found = through(kube).problems(namespace=namespace, window=f"{round(since)}s")
    click.echo(table.document(found) if output == "json" else views.problems(found))
    fail_warned(found["warnings"])


def _cause(kube: "Kube", target: Target, what: tuple[str, ...], since: float, output: str) -> None:
    from weft.views import causes as views
    from weft.views import table
    from weft.why.collect import Collector
    from weft.why.rank import causes

    evidence = _look(Collector(kube, since), target.namespace_or_default(kube), what)
    found = causes(evidence)
    if output == "json":
        click.echo(table.document(views.document(evidence, found)))
    else:
        click.echo(views.text(evidence, found))
    for line in evidence.blind:
        click.echo(f"could not look at {line}", err=True)


def _look(collector: "Collector", namespace: str, what: tuple[str, ...]) -> "Evidence":
    from weft import resources

    if found := ERROR.search(" ".join(what)):
        return collector.look(found["namespace"], resources.Resource("service", found["name"]))
    if len(what) == 1 and (found := REQUEST.fullmatch(what[0])) and not resources.is_kind(found["pod"]):
        return collector.request(found["namespace"] or namespace, found["pod"], int(found["number"]))
    one = resources.named(what)
    if not one.name or one.kind in ("namespace", "serviceaccount"):
        raise Failure("why needs one workload, pod or Service", "For example: weft why deploy/web.")
    return collector.look(namespace, one)
