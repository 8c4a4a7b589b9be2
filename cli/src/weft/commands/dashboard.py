"""`weft viz dashboard`: ports of this machine to web and Grafana, and a browser."""

import os
import sys
import threading

import click

from weft.options import Command, Target, pass_target

PORT = 50750
GRAFANA_PORT = 3000
SHOWN = ("weft", "grafana", "url")


@click.command(cls=Command)
@click.option("-p", "--port", type=click.IntRange(1, 65535), help=f"Local port (default: {PORT}, or a free one).")
@click.option("--show", type=click.Choice(SHOWN), default="weft", help="What to open (url: nothing).")
@click.option("--open/--no-open", "browser", default=None, help="Open a browser (default: if there is a display).")
@pass_target
def dashboard(target: Target, port: int | None, show: str, browser: bool | None) -> None:
    """Open the dashboard in a browser.

    Forwards a local port to web, and one to Grafana, until Ctrl-C.
    """
    from weft import forward, names
    from weft.client import Client

    kube = target.connect()
    web = forward.to_component(kube, "web", names.PORT_WEB)
    version = Client(web).version()
    local = forward.listen(web, port or PORT, strict=port is not None)
    urls = {"weft": f"http://localhost:{local.port}"}
    click.echo(f"weft dashboard: {urls['weft']}")
    if forward.ready_pod(kube, "grafana"):
        grafana = forward.to_component(kube, "grafana", names.PORT_GRAFANA)
        wanted = _port(version.get("grafana_url"))
        opened = forward.listen(grafana, wanted, strict=False).port
        urls["grafana"] = f"http://localhost:{opened}"
        if opened != wanted:
            click.echo(f"‼ port {wanted} is in use, so the dashboard's links to Grafana lead nowhere", err=True)
    click.echo(f"Grafana:        {urls.get('grafana', 'none is installed, or it is not ready')}")
    if show in urls and (_has_display() if browser is None else browser):
        click.launch(urls[show])
    click.echo("Ctrl-C ends.", err=True)
    _until_interrupted()


def _port(url: str | None) -> int:
    """The local port where the dashboard's links expect Grafana."""
    from urllib.parse import urlsplit

    return urlsplit(url or "").port or GRAFANA_PORT


def _has_display() -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _until_interrupted() -> None:
    """Waits in short steps: Windows delivers Ctrl-C only between waits."""
    forever = threading.Event()
    try:
        while not forever.wait(0.5):
            pass
    except KeyboardInterrupt:
        click.echo("", err=True)
