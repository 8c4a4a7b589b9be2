"""Entry point: the root group, and the one place where failures are printed."""

import os
import sys
from typing import Any, NoReturn

import click

from weft.commands.about import completion, version
from weft.commands.authz import authz
from weft.commands.check import check
from weft.commands.diagnostics import diagnostics
from weft.commands.explain import explain
from weft.commands.identity import identity
from weft.commands.inject import inject, uninject
from weft.commands.install import install, uninstall, upgrade
from weft.commands.profile import profile
from weft.commands.prune import prune
from weft.commands.viz import viz
from weft.commands.why import why
from weft.errors import Failure
from weft.options import Group, Target

SIGPIPE_CODE = 141
"""128 + 13, by which shells know a process that SIGPIPE ended."""


class Root(Group):
    """The root group; turns what nobody expected into one line, too."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _end_unread()
        except (click.ClickException, click.exceptions.Exit, click.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            if ctx.ensure_object(Target).verbose:
                raise
            raise Failure(
                f"unexpected {type(error).__name__}: {error}", "Run again with --verbose and report the traceback."
            ) from error


def _end_unread() -> NoReturn:
    """End as kubectl does when the reader of a pipe went away (`weft viz tap deploy/web | head`): quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered is for nobody
    sys.exit(SIGPIPE_CODE)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "obj": None})
def cli() -> None:
    """weft: a service mesh for Kubernetes.

    Start with `weft check --pre`, then `weft install | kubectl apply -f -`.
    """


COMMANDS = (
    check, why, install, upgrade, prune, uninstall, inject, uninject, profile, viz, authz, identity, diagnostics,
    explain, version, completion,
)  # fmt: skip

for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a Windows console may speak a code page without √
            stream.reconfigure(encoding="utf-8", errors="replace")
    cli(prog_name="weft")
