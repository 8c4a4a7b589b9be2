"""`--watch`: the same question again and again, until Ctrl-C."""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import click

from weft.errors import Failure

T = TypeVar("T")
SECONDS = 2.0
CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def repeat(ask: Callable[[], T], show: Callable[[T], None], watch: bool) -> None:
    """Ask and show once, or every two seconds: on a terminal each answer takes the place of the one before.

    Only the first failure ends it: who has seen an answer asked rightly, so what fails later may come back.
    """
    try:
        answer = ask()
        if watch:
            _clear()
        show(answer)
        while watch:
            time.sleep(SECONDS)
            _again(ask, show)
    except KeyboardInterrupt:
        click.echo("", err=True)


def _again(ask: Callable[[], T], show: Callable[[T], None]) -> None:
    """One more round. What was shown of an answer that fails then stays, a line below it."""
    try:
        answer = ask()
    except Failure as failure:
        _clear()
        _tell(failure)
        return
    _clear()
    try:
        show(answer)
    except Failure as failure:
        _tell(failure)


def _clear() -> None:
    if sys.stdout.isatty():
        click.echo(CLEAR, nl=False)


def _tell(failure: Failure) -> None:
    again = Failure(failure.message, f"Asking again every {SECONDS:g} s, until Ctrl-C.")
    again.show(sys.stdout if sys.stdout.isatty() else None)
