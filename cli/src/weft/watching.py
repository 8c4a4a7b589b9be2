"""`--watch`: the same question again and again, until Ctrl-C."""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import click

T = TypeVar("T")
SECONDS = 2.0
CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def repeat(ask: Callable[[], T], show: Callable[[T], None], watch: bool) -> None:
    """Ask and show once, or every two seconds: on a terminal each answer takes the place of the one before."""
    try:
        while True:
            answer = ask()
            if watch and sys.stdout.isatty():
                click.echo(CLEAR, nl=False)
            show(answer)
            if not watch:
                return
            sys.stdout.flush()
            time.sleep(SECONDS)
    except KeyboardInterrupt:
        click.echo("", err=True)
