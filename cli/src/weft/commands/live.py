"""`weft viz tap` and `weft viz top`: requests as they happen, by the aggregated API and with the user's own rights."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from weft import durations
from weft.options import Command, Target, output_option, pass_target

if TYPE_CHECKING:
    from weft.screen import Read
    from weft.taps import Event

Function = Callable[..., Any]
ONCE_SECONDS = 10.0
TOP_RPS = "10000"
"""Top counts, so it wants every request."""


def filter_options(function: Function) -> Function:
    """The resource and what of its requests is wanted."""
    for option in reversed(
        (
            click.argument("resource", nargs=-1, required=True, metavar="TYPE/NAME"),
            click.option("--method", metavar="GET", help="Only this method."),
            click.option("--path", metavar="PREFIX", help="Only paths that begin so."),
            click.option("--authority", metavar="HOST", help="Only this authority."),
            click.option("--status", metavar="5xx", help="Only this status: 500, 5xx or 400-499."),
            click.option("--min-latency", metavar="200ms", help="Only what took at least so long."),
            click.option("--header", metavar="NAME[=VALUE]", help="Only requests with this header."),
            click.option("--identity", metavar="SPIFFE-ID", help="Only if the other side has this identity."),
            click.option("--to", metavar="TYPE/NAME", help="Only requests to it."),
            click.option("--to-namespace", metavar="NAME", help="Namespace of --to (default: -n)."),
            click.option(
                "--direction",
                type=click.Choice(["inbound", "outbound"]),
                help="Only what the tapped pods receive, or send.",
            ),
            click.option("--max-rps", metavar="N", help="At most so many a second (default: 100; top: 10000)."),
        )
    ):
        function = option(function)
    return function


@click.command(cls=Command)
@filter_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after so many.")
@click.option("--replay", type=click.IntRange(0, 256), metavar="N", help="Begin with each proxy's last N (0 … 256).")
@click.option("--duration", callback=durations.option, metavar="TIME", help="End after so long.")
@output_option("table", "wide", "json")
@pass_target
def tap(
    target: Target,
    /,
    resource: tuple[str, ...],
    duration: float | None,
    output: str,
    **filters: Any,
) -> None:
    """Show requests as they happen.

    `weft viz tap deploy/web` prints a line when a request has ended, until Ctrl-C: the time it began,
    in or out of the tapped pod, source → destination, request, status, latency, and 🔒 for mutual TLS.
    -o json writes one JSON object a line.
    """
    from weft.views.exchange import Exchange, line

    shown = 0
    try:
        for event in _events(target, resource, filters, duration, _stderr):
            if event is None:
                continue
            exchange = Exchange.parse(event)
            if exchange.skipped and output != "json":
                _stderr(f"{exchange.skipped} requests are left out here: more than --max-rps a second")
            click.echo(json.dumps(event) if output == "json" else line(exchange, output == "wide"))
            shown += 1
            if shown == filters["limit"]:
                break
    except KeyboardInterrupt:
        return
    if not shown:
        click.echo("no request matched", err=True)


@click.command(cls=Command)
@filter_options
@click.option("--once", is_flag=True, help="Print one table at the end (what happens anyway when piped).")
@click.option(
    "--duration", callback=durations.option, metavar="TIME", help="End after so long (default: never; once: 10s)."
)
@output_option("table", "json")
@pass_target
def top(
    target: Target, /, resource: tuple[str, ...], once: bool, duration: float | None, output: str, **filters: str
) -> None:
    """Show the most frequent requests, live.

    `weft viz top deploy/web` counts by source, destination, method and path. On a terminal it fills the screen, and
    the keys at its lower edge sort, pause and hide; piped, or with --once, it prints one table.
    """
    from weft.views import table
    from weft.views.exchange import Exchange
    from weft.views.top import Top, answer, left_out, text

    filters["max_rps"] = filters["max_rps"] or TOP_RPS
    if sys.stdout.isatty() and not once and output == "table":
        _full_screen(lambda tell: _events(target, resource, filters, duration, tell))
        return
    totals = Top()
    try:
        for event in _events(target, resource, filters, duration or ONCE_SECONDS, _stderr):
            if event is not None:
                totals.add(Exchange.parse(event))
    except KeyboardInterrupt:
        pass
    click.echo(table.document(answer(totals)) if output == "json" else text(totals))
    for note in ("" if totals.rows() else "no request came while top was looking", left_out(totals)):
        if note:
            _stderr(note)


def _full_screen(read: "Read") -> None:
    from weft.screen import TopScreen

    screen = TopScreen(read)
    screen.run()
    if screen.failure:
        raise screen.failure


def _stderr(note: str) -> None:
    click.echo(note, err=True)


def _events(
    target: Target,
    words: tuple[str, ...],
    filters: dict[str, Any],
    seconds: float | None,
    tell: Callable[[str], None],
) -> "Iterator[Event | None]":
    """Events without the lines that say how many pods are watched: what keeps requests from being seen is told."""
    from weft import resources, taps

    resource = resources.named(words)
    kube = target.connect()
    namespace = target.namespace_or_default(kube)
    query = {name: str(value) for name, value in filters.items() if value}
    if "to" in query:
        query["to"] = str(resources.named([query["to"]]))
    told: set[str] = set()
    for event in taps.events(kube, taps.path(namespace, resource), query, seconds, tell):
        if event is None or not isinstance(event.get("status"), dict):
            yield event
            continue
        for line in set(_notes(event["status"], str(resource))) - told:
            told.add(line)
            tell(line)


def _notes(status: dict[str, Any], resource: str) -> list[str]:
    """What keeps requests from being seen."""
    pods, unmeshed = status.get("pods", 0), status.get("unmeshed", 0)
    notes = [f"cannot tap {pod}: {reason}" for pod, reason in (status.get("failing") or {}).items()]
    if unmeshed and not pods:
        notes.append(f"no pod of {resource} has a proxy yet: inject and restart it, see `weft check --proxy`")
    elif unmeshed:
        notes.append(f"{unmeshed} pods of {resource} have no proxy, so their requests are not seen")
    return notes
