"""`weft viz stat`, `stat-inbound`, `stat-outbound`, `edges` and `routes`: numbers from web's public API."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from weft.errors import Failure
from weft.options import Command, Target, output_option, pass_target

if TYPE_CHECKING:
    from weft.client import StatRow
    from weft.cluster import Kube
    from weft.resources import Resource

Function = Callable[..., Any]


def scope_options(function: Function) -> Function:
    """The resource, all namespaces, the time window, and whether to go on."""
    for option in (
        click.argument("resource", nargs=-1, required=True, metavar="TYPE[/NAME]"),
        click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace."),
        click.option("-t", "--window", default="60s", metavar="TIME", help="The last 15s … 6h (default: 60s)."),
        click.option("-w", "--watch", is_flag=True, help="Ask again every 2 seconds, until Ctrl-C."),
    ):
        function = option(function)
    return function


def to_options(function: Function) -> Function:
    """To whom requests went."""
    function = click.option("--to-namespace", metavar="NAME", help="Namespace of --to (default: -n).")(function)
    return click.option("--to", metavar="TYPE/NAME", help="Only requests to it.")(function)


@click.command(cls=Command)
@scope_options
@to_options
@click.option("--from", "from_", metavar="TYPE/NAME", help="Only requests from it.")
@click.option("--from-namespace", metavar="NAME", help="Namespace of --from (default: -n).")
@click.option("-l", "--selector", metavar="LABELS", help="Only objects with these labels.")
@output_option("table", "wide", "json")
@pass_target
def stat(
    target: Target,
    /,
    resource: tuple[str, ...],
    all_namespaces: bool,
    watch: bool,
    output: str,
    **options: str | None,
) -> None:
    """Show success rates, requests and latencies.

    `weft viz stat deploy`, `weft viz stat ns`, `weft viz stat deploy/web sts/db`, `weft viz stat po --to svc/db`.

    MESHED: pods with a proxy / all that run. SUCCESS, RPS: of the requests in the window.
    LATENCY: until the response began. TCP_CONN: connections open now. "-": no data.
    """
    from weft import resources
    from weft.client import through
    from weft.watching import repeat

    wanted = resources.parse(resource)
    kube = target.connect()
    scope = _scope(target, kube, wanted, all_namespaces)
    query = {"namespace": scope, **_filters(options)}
    client = through(kube)

    def ask() -> list[Mapping[str, Any]]:
        return [client.stat(one.kind, name=one.name, **query) for one in wanted]

    def show(answers: Sequence[Mapping[str, Any]]) -> None:
        _show_stat(Place(kube, scope, _condition(query)), wanted, answers, output)
        _tell_window(answers[0], options["window"])

    repeat(ask, show, watch)


@click.command(cls=Command)
@scope_options
@output_option("table", "wide", "json")
@pass_target
def edges(target: Target, /, output: str, **asked: Any) -> None:
    """Show who talks with whom, and how secured.

    `weft viz edges deploy`. SECURED: √ is the mesh's mutual TLS, anything else says why there is none.
    """
    from weft.views import metrics

    question = Question(target, output, **asked)
    question.put("edges", lambda rows: metrics.edges_table(rows, output == "wide"), "no traffic from or to {}")


@click.command(cls=Command)
@scope_options
@to_options
@output_option("table", "json")
@pass_target
def routes(target: Target, /, output: str, to: str | None, to_namespace: str | None, **asked: Any) -> None:
    """Show what a workload sends, by route.

    `weft viz routes deploy/web --to svc/db`. Routes are those of ServiceProfiles and HTTPRoutes; [default]: none of
    them matched.
    """
    from weft.views import metrics

    question = Question(target, output, **asked)
    peer = _filters({"to": to, "to_namespace": to_namespace})
    nothing = f"{{}} sent no HTTP requests{_peers(peer)}"
    question.put("routes", lambda rows: metrics.routes_table(rows, question.scope), nothing, **peer)


@click.command("stat-inbound", cls=Command)
@scope_options
@output_option("table", "json")
@pass_target
def stat_inbound(target: Target, /, output: str, **asked: Any) -> None:
    """Show what workloads receive, by route and client.

    `weft viz stat-inbound deploy/web`. CLIENT: the service account that the client proved.
    SECURED: √ is the mesh's mutual TLS, anything else says why there is none. DENIED: of RPS, what policies and
    rate limits refused. A row is a route and a client, whichever port they come to.
    """
    from weft.views import metrics

    question = Question(target, output, **asked)
    everywhere = question.scope == "*"
    question.put("inbound", lambda rows: metrics.inbound_table(rows, everywhere), "{} received no HTTP requests")


@click.command("stat-outbound", cls=Command)
@scope_options
@output_option("table", "json")
@pass_target
def stat_outbound(target: Target, /, output: str, **asked: Any) -> None:
    """Show what workloads send, by route and backend.

    `weft viz stat-outbound deploy/web`. SERVICE: what the application called; BACKEND: what answered.
    RETRIES, TIMEOUTS: of the client's proxy, a second.
    """
    from weft.views import metrics

    question = Question(target, output, **asked)
    everywhere = question.scope == "*"
    question.put("outbound", lambda rows: metrics.outbound_table(rows, everywhere), "{} sent no HTTP requests")


class Place(NamedTuple):
    """Where rows are looked for; `condition` says which are left out."""

    kube: "Kube"
    scope: str
    condition: str = ""


class Question:
    """A question about one resource that web answers with rows."""

    def __init__(
        self, target: Target, output: str, *, resource: Sequence[str], all_namespaces: bool, window: str, watch: bool
    ) -> None:
        from weft import resources
        from weft.client import through

        self._one = resources.named(resource)
        self._kube = target.connect()
        self.scope = _scope(target, self._kube, [self._one], all_namespaces)
        self._window, self._watch, self._output = window, watch, output
        self._client = through(self._kube)

    def put(self, view: str, render: Callable[[Any], str], nothing: str, **more: str) -> None:
        """Ask one view and print its rows; `nothing` says what an empty answer means."""
        from weft.watching import repeat

        one = {"kind": self._one.kind, "namespace": self.scope, "name": self._one.name, "window": self._window}
        query = one | more
        repeat(lambda: self._client.get(view, **query), lambda answer: self._show(answer, render, nothing), self._watch)

    def _show(self, answer: Mapping[str, Any], render: Callable[[Any], str], nothing: str) -> None:
        from weft.views import table

        if self._output == "json":
            click.echo(table.document(answer))
        elif answer["rows"]:
            click.echo(render(answer["rows"]))
        elif not answer["warnings"]:
            self._tell(nothing)
        fail_warned(answer["warnings"])
        _tell_window(answer, self._window)

    def _tell(self, nothing: str) -> None:
        """That there is nothing, and why: no such namespace or object, no proxy, no traffic at all."""
        from weft.cluster import require_namespace
        from weft.views import metrics

        require_namespace(self._kube, self.scope)
        where = "" if self.scope == "*" else f" in namespace {self.scope}"
        rows = self._own_rows() if self._one.name else []
        click.echo(f"{nothing.format(self._one)}{where} within the last {self._window}", err=True)
        for note in metrics.notes(rows):
            click.echo(note, err=True)

    def _own_rows(self) -> "list[StatRow]":
        one = self._one
        found = self._client.stat(one.kind, namespace=self.scope, name=one.name, window=self._window)
        _fail_stat(Place(self._kube, self.scope), [(one, found["rows"])], found["warnings"])
        return found["rows"]


def _scope(target: Target, kube: "Kube", wanted: "Sequence[Resource]", all_namespaces: bool) -> str:
    """Where to look: the context's namespace is no bound to namespaces, but one that was given is."""
    unbound = all(one.kind == "namespace" for one in wanted) and not target.namespace
    return "*" if all_namespaces or unbound else target.namespace_or_default(kube)


def _filters(options: dict[str, str | None]) -> dict[str, str]:
    """Parameters of the API for the options of `stat`, with kinds spelled out."""
    from weft import resources

    given = {name.rstrip("_"): value for name, value in options.items() if value}
    return {name: str(resources.named([value])) if name in ("to", "from") else value for name, value in given.items()}


def _condition(query: Mapping[str, str]) -> str:
    """Which labels and traffic rows must have; empty: any or none."""
    labels = f" with labels {query['selector']}" if "selector" in query else ""
    peers = _peers(query)
    return labels + (f" with traffic{peers} within the last {query['window']}" if peers else "")


def _peers(query: Mapping[str, str]) -> str:
    """As in `no deployments to service/db`; empty when any will do."""
    return "".join(f" {side} {peer}" for side in ("to", "from") if (peer := _peer(query, side)))


def _peer(query: Mapping[str, str], side: str) -> str:
    space = query.get(f"{side}_namespace")
    return " of ".join(filter(None, (query.get(side), space and f"namespace {space}")))


def _show_stat(place: Place, wanted: "Sequence[Resource]", answers: Sequence[Mapping[str, Any]], output: str) -> None:
    from weft.views import metrics, table

    groups = [answer["rows"] for answer in answers]
    warnings = list(dict.fromkeys(warning for answer in answers for warning in answer["warnings"]))
    if output == "json":
        rows = [row for rows in groups for row in rows]
        click.echo(table.document({**answers[0], "rows": rows, "warnings": warnings}))
    else:
        _print_stat(groups, len({one.kind for one in wanted}) > 1, place.scope == "*", output == "wide")
    _fail_stat(place, list(zip(wanted, groups, strict=True)), warnings)
    if output != "json":
        for note in metrics.notes(row for rows in groups for row in rows):
            click.echo(note, err=True)


def _print_stat(groups: "list[list[StatRow]]", several: bool, all_namespaces: bool, wide: bool) -> None:
    """One table, or with several kinds one for each."""
    from weft.views import metrics

    shown = groups if several else [[row for rows in groups for row in rows]]
    tables = [metrics.stat_table(rows, several, all_namespaces, wide) for rows in shown if rows]
    click.echo("\n\n".join(tables), nl=bool(tables))


def _tell_window(answer: Mapping[str, Any], asked: str | None) -> None:
    """Over which time the numbers are, where Prometheus has not seen all of what was asked."""
    from weft.views import metrics

    if told := metrics.shorter(answer["window_seconds"], asked or "60s"):
        click.echo(told, err=True)


def _fail_stat(place: Place, found: "list[tuple[Resource, list[StatRow]]]", warnings: list[str]) -> None:
    """A failure if numbers are missing, or what was named; a kind of which there is none is none."""
    from weft.cluster import require_namespace

    if not warnings and not any(rows for _, rows in found):
        require_namespace(place.kube, place.scope)
    where = "any namespace" if place.scope == "*" else f"namespace {place.scope}"
    empty = [one for one, rows in found if not rows]
    missing = [one for one in empty if one.name]
    if missing:
        causes = warnings or [f"there is no {one} in {where}" for one in missing]
        raise Failure("; ".join(causes), f"`weft viz stat {missing[0].kind} -A` shows what there is.")
    fail_warned(warnings)
    for one in empty:
        click.echo(f"no {one.plural} in {where}{place.condition}", err=True)


def fail_warned(warnings: list[str]) -> None:
    """What web could not find out makes an answer incomplete, so the command fails after printing it."""
    if warnings:
        raise Failure("; ".join(warnings), "See `weft check`.")
