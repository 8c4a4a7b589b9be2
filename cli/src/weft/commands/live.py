"""`weft viz tap` and `weft viz top`: requests as they happen, by the aggregated API and with the user's own rights."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from weft import durations
from weft.options import Command, Target, output_option, pass_target

if TYPE_CHECKING:
    from weft.taps import Event
    from weft.views.top import Top

Function = Callable[..., Any]
ONCE_SECONDS = 10.0
REDRAW_SECONDS = 0.5
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
@click.option("--duration", callback=durations.option, metavar="TIME", help="End after so long.")
@output_option("table", "wide", "json")
@pass_target
def tap(
    target: Target, /, resource: tuple[str, ...], limit: int | None, duration: float | None, output: str, **filters: str
) -> None:
    """Show requests as they happen.

    `weft viz tap deploy/web` prints a line when a request has ended, until Ctrl-C: the time it began,
    in or out of the tapped pod, source → destination, request, status, latency, and 🔒 for mutual TLS.
    -o json writes one JSON object a line.
    """
    from weft.views.exchange import Exchange, line

    shown = 0
    try:
        for event in _events(target, resource, {**filters, "limit": str(limit or "")}, duration):
            if event is None:
                continue
            click.echo(json.dumps(event) if output == "json" else line(Exchange.parse(event), output == "wide"))
            shown += 1
            if shown == limit:
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

    `weft viz top deploy/web` counts by source, destination, method and path.
    """
    from weft.views import table
    from weft.views.exchange import Exchange
    from weft.views.top import Top, answer, text

    live = sys.stdout.isatty() and not once and output == "table"
    totals = Top()
    with Screen(totals, live) as redraw:
        try:
            filters["max_rps"] = filters["max_rps"] or TOP_RPS
            for event in _events(target, resource, filters, duration or (None if live else ONCE_SECONDS)):
                if event is not None:
                    totals.add(Exchange.parse(event))
                redraw()
        except KeyboardInterrupt:
            pass
    if not live:
        _report(table.document(answer(totals)) if output == "json" else text(totals), totals)


def _report(shown: str, totals: "Top") -> None:
    click.echo(shown)
    if not totals.rows():
        click.echo("no request came while top was looking", err=True)
    if totals.left_out:
        click.echo(f"{totals.left_out} requests are left out: too many a second (--max-rps) or paths", err=True)


def _events(
    target: Target, words: tuple[str, ...], filters: dict[str, str], seconds: float | None
) -> "Iterator[Event | None]":
    """Events without the lines that say how many pods are watched; those go to stderr."""
    from weft import resources, taps

    resource = resources.named(words)
    kube = target.connect()
    namespace = target.namespace_or_default(kube)
    query = {name: value for name, value in filters.items() if value}
    if "to" in query:
        query["to"] = str(resources.named([query["to"]]))
    told: set[str] = set()
    for event in taps.events(kube, taps.path(namespace, resource), query, seconds):
        if event is None or not isinstance(event.get("status"), dict):
            yield event
            continue
        for line in set(_notes(event["status"], str(resource))) - told:
            told.add(line)
            click.echo(line, err=True)


def _notes(status: dict[str, Any], resource: str) -> list[str]:
    """What keeps requests from being seen."""
    pods, unmeshed = status.get("pods", 0), status.get("unmeshed", 0)
    notes = [f"cannot tap {pod}: {reason}" for pod, reason in (status.get("failing") or {}).items()]
    if unmeshed and not pods:
        notes.append(f"no pod of {resource} has a proxy yet: inject and restart it, see `weft check --proxy`")
    elif unmeshed:
        notes.append(f"{unmeshed} pods of {resource} have no proxy, so their requests are not seen")
    return notes


class Screen:
    """Redraws the table on a terminal, at most twice a second; elsewhere does nothing."""

    def __init__(self, totals: "Top", live: bool) -> None:
        self._totals = totals
        self._live: Any = None
        self._drawn = 0.0
        if live:
            from rich.live import Live

            self._live = Live(auto_refresh=False)

    def __enter__(self) -> Callable[[], None]:
        if self._live:
            self._live.__enter__()
        return self._redraw

    def __exit__(self, *exception: object) -> None:
        if self._live:
            self._live.__exit__(*exception)

    def _redraw(self) -> None:
        import time

        if self._live and time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._drawn = time.monotonic()
            self._live.update(rich_table(self._totals, self._live.console.height), refresh=True)


def rich_table(totals: "Top", height: int) -> Any:
    """The table for a terminal of so many lines."""
    from rich.table import Table
    from rich.text import Text

    from weft.views.top import HEADER, cells

    table = Table(*HEADER[:4], box=None, caption="Ctrl-C ends", caption_justify="left")
    for name in HEADER[4:]:
        table.add_column(name, justify="right")
    for row in cells(totals.rows()[: max(1, height - 4)]):
        table.add_row(*map(Text, row))
    return table
