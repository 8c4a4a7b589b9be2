"""`weft viz stat`, `edges` and `routes`: numbers from web's public API."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from weft.options import Command, Target, output_option, pass_target

if TYPE_CHECKING:
    from weft.client import Client, Stat
    from weft.cluster import Kube
    from weft.resources import Resource

Function = Callable[..., Any]


def scope_options(function: Function) -> Function:
    """The resource, all namespaces, the time window."""
    for option in (
        click.argument("resource", nargs=-1, required=True, metavar="TYPE[/NAME]…"),
        click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace."),
        click.option("-t", "--window", default="60s", metavar="TIME", help="The last 15s … 6h (default: 60s)."),
    ):
        function = option(function)
    return function


@click.command(cls=Command)
@scope_options
@click.option("--to", metavar="TYPE/NAME", help="Only requests to it.")
@click.option("--to-namespace", metavar="NAME", help="Its namespace (default: -n).")
@click.option("--from", "from_", metavar="TYPE/NAME", help="Only requests from it.")
@click.option("--from-namespace", metavar="NAME", help="Its namespace (default: -n).")
@click.option("-l", "--selector", metavar="LABELS", help="Only objects with these labels.")
@output_option("table", "wide", "json")
@pass_target
def stat(
    target: Target, /, resource: tuple[str, ...], all_namespaces: bool, output: str, **options: str | None
) -> None:
    """Show success rates, requests and latencies.

    `weft viz stat deploy`, `weft viz stat po -A`, `weft viz stat deploy/web --to deploy/db`.
    """
    from weft import resources
    from weft.views import metrics, table

    wanted = resources.parse(resource)
    kube = target.connect()
    scope = _scope(target, kube, all_namespaces)
    query = {"namespace": scope, **_filters(options)}
    client = _client(kube)
    answers = [_stat(client, one, query) for one in wanted]
    groups = [answer["rows"] for answer in answers]
    if output == "json":
        rows = [row for rows in groups for row in rows]
        click.echo(table.document({**answers[0], "rows": rows}))
        return
    several = len({one.kind for one in wanted}) > 1
    shown = groups if several else [[row for rows in groups for row in rows]]
    tables = [metrics.stat_table(rows, several, all_namespaces, output == "wide") for rows in shown if rows]
    click.echo("\n\n".join(tables), nl=bool(tables))
    for note in metrics.notes(row for rows in groups for row in rows):
        click.echo(note, err=True)


@click.command(cls=Command)
@scope_options
@output_option("table", "wide", "json")
@pass_target
def edges(target: Target, resource: tuple[str, ...], all_namespaces: bool, window: str, output: str) -> None:
    """Show who talks with whom, and how secured."""
    from weft import resources
    from weft.views import metrics, table

    one = resources.named(resource)
    kube = target.connect()
    scope = _scope(target, kube, all_namespaces)
    answer = _client(kube).edges(one.kind, namespace=scope, name=one.name, window=window)
    _warn(answer["warnings"])
    if output == "json":
        click.echo(table.document(answer))
    elif answer["rows"]:
        click.echo(metrics.edges_table(answer["rows"], output == "wide"))
    else:
        _none(f"no traffic from or to {one}", scope, window)


@click.command(cls=Command)
@scope_options
@output_option("table", "json")
@pass_target
def routes(target: Target, resource: tuple[str, ...], all_namespaces: bool, window: str, output: str) -> None:
    """Show what a workload sends, by route."""
    from weft import resources
    from weft.views import metrics, table

    one = resources.named(resource)
    kube = target.connect()
    scope = _scope(target, kube, all_namespaces)
    answer = _client(kube).routes(one.kind, namespace=scope, name=one.name, window=window)
    _warn(answer["warnings"])
    if output == "json":
        click.echo(table.document(answer))
    elif answer["rows"]:
        click.echo(metrics.routes_table(answer["rows"]))
    else:
        _none(f"{one} sent no HTTP requests", scope, window)


def _client(kube: "Kube") -> "Client":
    from weft.client import Client
    from weft.forward import to_component
    from weft.names import PORT_WEB

    return Client(to_component(kube, "web", PORT_WEB))


def _scope(target: Target, kube: "Kube", all_namespaces: bool) -> str:
    return "*" if all_namespaces else target.namespace_or_default(kube)


def _filters(options: dict[str, str | None]) -> dict[str, str]:
    """Parameters of the API for the options of `stat`, with kinds spelled out."""
    from weft import resources

    given = {name.rstrip("_"): value for name, value in options.items() if value}
    return {name: str(resources.named([value])) if name in ("to", "from") else value for name, value in given.items()}


def _stat(client: "Client", one: "Resource", query: dict[str, str]) -> "Stat":
    answer = client.stat(one.kind, name=one.name, **query)
    _warn(answer["warnings"])
    if not answer["rows"] and not answer["warnings"]:
        where = "any namespace" if query["namespace"] == "*" else f"namespace {query['namespace']}"
        click.echo(f"no {one.plural} in {where}", err=True)
    return answer


def _none(what: str, scope: str, window: str) -> None:
    where = "" if scope == "*" else f" in namespace {scope}"
    click.echo(f"{what}{where} within the last {window}", err=True)


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        click.echo(f"‼ {warning}", err=True)
