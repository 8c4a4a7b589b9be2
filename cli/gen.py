"""docs/cli.md from the commands' own help: `python cli/gen.py` (make gen)."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
from weft.main import cli
from weft.options import shared_options

INTRODUCTION = """# The command line

Made from the commands' own help by `make gen`. These options go with every command, before it or behind it:

{shared}

Data goes to stdout, everything else to stderr; the exit code is 0, or 1 with one line that names the cause and the
next step (2: the command line itself is wrong). `TYPE` is a kind as kubectl knows it, in full or short: `deploy`,
`sts`, `ds`, `rs`, `job`, `cj`, `po`, `svc`, `ns`; `stat` knows `sa`, too.

The cluster is the one that kubectl would take: several files in $KUBECONFIG, contexts, certificates and tokens in
files or inline, exec plugins, `proxy-url` and HTTPS_PROXY (HTTP proxies only); in a pod without kubeconfig that of
its own account.
"""
PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
SHARED = {parameter.name for parameter in shared_options()}


def page() -> str:
    """The whole page."""
    shared = "\n".join(map(_option, shared_options()))
    sections = "\n".join(section for section in _sections(cli, "weft"))
    return f"{INTRODUCTION.format(shared=shared)}\n{sections}"


def _sections(group: click.Group, path: str) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _sections(command, f"{path} {name}")
        else:
            yield _section(command, f"{path} {name}")


def _section(command: click.Command, path: str) -> str:
    """Usage, what it does, its own options."""
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    own = [option for option in options if option.name not in SHARED and not option.hidden]
    usage = " ".join([path, *map(_argument, arguments), *(["[options]"] if own else [])])
    listed = "\n".join(map(_option, own))
    text = _paragraphs(inspect.cleandoc(command.help or ""))
    return f"## {path}\n\n```\n{usage}\n```\n\n{text}\n" + (f"\n{listed}\n" if listed else "")


def _paragraphs(text: str) -> str:
    """Help text as Markdown: words that look like HTML are none."""
    return re.sub(r"<(?=\w)", "&lt;", text)


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or argument.human_readable_name.upper()
    shown = f"{name}…" if argument.nargs != 1 else name
    return shown if argument.required else f"[{shown}]"


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else _value(option)
    return f"- {names}{value}: {option.help}"


def _value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return f" `{'|'.join(map(str, option.type.choices))}`"
    return f" `{option.metavar or option.type.name.upper()}`"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
