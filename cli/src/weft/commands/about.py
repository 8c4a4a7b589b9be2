"""`weft version` and `weft completion`."""

import click

from weft import version as cli_version
from weft.errors import Failure
from weft.options import Command, Target, output_option, pass_target


@click.command(cls=Command)
@click.option("--client", is_flag=True, help="Only the CLI's: no cluster is asked.")
@output_option("table", "json")
@pass_target
def version(target: Target, client: bool, output: str) -> None:
    """Print versions of CLI and control plane."""
    versions = {"client": cli_version()}
    try:
        versions |= {} if client else _server(target)
    except Failure as failure:
        _print(versions, output)
        failure.step = f"{failure.step} `--client` asks no cluster.".strip()
        raise
    _print(versions, output)


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script for the shell's completion.

    For example: `source <(weft completion bash)`.
    """
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete is None:
        raise Failure(f"no completion for {shell}")
    click.echo(complete(context.find_root().command, {}, "weft", "_WEFT_COMPLETE").source())


def _print(versions: dict[str, str], output: str) -> None:
    import json

    if output == "json":
        click.echo(json.dumps(versions))
        return
    for name, value in versions.items():
        click.echo(f"{name.capitalize()} version: {value}")


def _server(target: Target) -> dict[str, str]:
    """What the cluster has."""
    from weft import installed

    config = installed.config(target.connect())
    if config is None:
        return {"server": "not installed"}
    server = (config.get("data") or {}).get("version", "unknown")
    return {"server": server, "proxy": installed.proxy_version(config)}
