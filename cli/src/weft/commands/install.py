"""`weft install`, `upgrade`, `uninstall` and `weft viz install`, `viz uninstall`: YAML for kubectl on stdout."""

import json
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from weft import durations
from weft.errors import Failure
from weft.options import Command, Target, pass_target

if TYPE_CHECKING:
    from weft.cluster import Kube, Object
    from weft.render import Manifests

Function = Callable[..., Any]
LISTED = 10
TAP_SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "weft-tap-tls", "namespace": "weft"}}


def rendering_options(function: Function) -> Function:
    """--set, --values, --ignore-cluster, --apply and --wait."""
    for option in (
        click.option(
            "--wait",
            callback=durations.option,
            is_flag=False,
            flag_value="5m",
            metavar="TIME",
            help="With --apply: until all is ready, at most so long (default: 5m).",
        ),
        click.option("--apply", "applied", is_flag=True, help="Apply by kubectl instead of printing."),
        click.option(
            "--ignore-cluster",
            is_flag=True,
            help="Do not look at the cluster: not whether weft is installed, nor whether you may install.",
        ),
        click.option(
            "-f", "--values", multiple=True, metavar="FILE", help="File of values for the chart (needs helm)."
        ),
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", help="One value for the chart (needs helm)."
        ),
    ):
        function = option(function)
    return function


@click.command(cls=Command)
@click.option("--crds", is_flag=True, help="Only the Gateway API's kinds that weft reads, where they are absent.")
@rendering_options
@pass_target
def install(target: Target, /, crds: bool, ignore_cluster: bool, **options: Any) -> None:
    """Print the control plane's manifests.

    `weft install | kubectl apply -f -` installs it; `weft check` then tells when it is ready.
    `weft install --crds | kubectl apply --server-side -f -`, before or after, brings HTTPRoute and GRPCRoute.
    """
    if crds:
        _gateway_api(target, ignore_cluster, **options)
        return
    manifests = _manifests(**options)
    if not ignore_cluster:
        _refuse_installed(_able_cluster(target))
    _deliver(manifests.core, target, **options)


@click.command(cls=Command)
@rendering_options
@pass_target
def upgrade(target: Target, /, ignore_cluster: bool, **options: Any) -> None:
    """Print manifests of this version.

    `weft upgrade | kubectl apply -f -` updates an installation, and viz if it is there.
    Without --set and --values what was set stays set, but for tags and digests, which belong to a version; with
    them, they are all that is set.
    """
    from weft import installed

    if ignore_cluster:
        _deliver(_manifests(**options).core, target, **options)
        return
    kube = _able_cluster(target)
    config = _config(kube)
    _refuse_helm([config], "helm upgrade")
    _refuse_version(config)
    kept = {} if options["settings"] or options["values"] else _kept(kube)
    manifests = _manifests(**options, kept=kept)
    _deliver(manifests.core + (manifests.viz if installed.tap_service(kube) else ""), target, **options)


@click.command(cls=Command)
@click.option("--force", is_flag=True, help="Go on even though pods still have a proxy, or viz is installed.")
@click.option("--ignore-cluster", is_flag=True, help="Print all that an installation may hold, without looking.")
@pass_target
def uninstall(target: Target, force: bool, ignore_cluster: bool) -> None:
    """Print the objects to delete.

    `weft uninstall | kubectl delete -f -` deletes what of weft is there, also after half an installation.
    CustomResourceDefinitions and their objects stay.
    """
    from weft import installed, render

    objects = render.parse(render.packaged().core)
    if not ignore_cluster:
        kube = target.connect()
        objects = installed.present(objects, kube) + installed.trust_bundles(kube)
        _refuse_none(objects, "weft")
        _refuse_helm(objects, "helm uninstall")
        _refuse_in_use(kube, force)
    _print(installed.to_delete(objects))


@click.command("install", cls=Command)
@rendering_options
@pass_target
def viz_install(target: Target, /, ignore_cluster: bool, **options: Any) -> None:
    """Print the manifests of viz.

    `weft viz install | kubectl apply -f -`: web, tap, Prometheus and Grafana.
    What is set of the installation holds for viz, too; --values and --set come on top of it.
    """
    from weft import installed

    if ignore_cluster:
        _deliver(_manifests(**options).viz, target, **options)
        return
    kube = _able_cluster(target)
    _refuse_helm([_config(kube)], "helm upgrade --set viz.enabled=true")
    if installed.tap_service(kube):
        raise Failure("viz is already installed", "To update it: `weft upgrade | kubectl apply -f -`.")
    _deliver(_manifests(**options, kept=_kept(kube)).viz, target, **options)


@click.command("uninstall", cls=Command)
@click.option("--ignore-cluster", is_flag=True, help="Print all that an installation may hold, without looking.")
@pass_target
def viz_uninstall(target: Target, ignore_cluster: bool) -> None:
    """Print the objects of viz to delete.

    `weft viz uninstall | kubectl delete -f -` deletes what of it is there.
    """
    from weft import installed, render

    default = render.parse(render.packaged().viz)
    objects = [*default, *installed.on_request(default), TAP_SECRET]
    if not ignore_cluster:
        objects = installed.present(objects, target.connect())
        _refuse_none(objects, "viz")
        _refuse_helm(objects, "helm upgrade --set viz.enabled=false")
    _print(installed.to_delete(objects))


def _gateway_api(target: Target, ignore_cluster: bool, **options: Any) -> None:
    """The definitions that the cluster lacks. They are too large for the annotation of a client-side apply."""
    from weft import apply, gateway_api

    if options["settings"] or options["values"] or options["wait"] is not None:
        raise Failure("--set, --values and --wait do not go with --crds", "The definitions are the same everywhere.")
    present = {} if ignore_cluster else gateway_api.found(target.connect())
    absent = [kind for kind in gateway_api.SERVED if not present.get(kind)]
    for kind, crd in present.items():
        if crd:
            click.echo(f"{kind}: already installed, {gateway_api.version(crd)}", err=True)
    text = "".join(f"---\n{gateway_api.definition(kind)}" for kind in absent)
    if not options["applied"]:
        _print(text)
    elif text:
        apply.apply(text, target, "--server-side")


def _kept(kube: "Kube") -> "Object":
    """What is set of the installation; says so."""
    from weft import installed

    kept = installed.settings(kube)
    if kept:
        click.echo(f"as the installation has it: {json.dumps(kept)}", err=True)
    return kept


def _manifests(
    settings: tuple[str, ...], values: tuple[str, ...], applied: bool, wait: float | None, kept: "Object | None" = None
) -> "Manifests":
    from weft import render

    if wait is not None and not applied:
        raise Failure("--wait goes with --apply", "What is only printed does not become ready.")
    arguments = [*(f"--values={file}" for file in values), *(f"--set={setting}" for setting in settings)]
    return render.rendered(arguments, kept or {})


def _able_cluster(target: Target) -> "Kube":
    """The cluster, if it is new enough and the user may install."""
    from weft import cluster, installed

    try:
        kube = target.connect()
        cluster.require_supported(kube)
        installed.require_permissions(kube)
    except Failure as failure:
        failure.step = f"{failure.step} `--ignore-cluster` renders anyway.".strip()
        raise
    return kube


def _config(kube: "Kube") -> "Object":
    from weft import installed

    config = installed.config(kube)
    if config is None:
        raise Failure("weft is not installed in this cluster", "Run `weft install | kubectl apply -f -` first.")
    return config


def _refuse_installed(kube: "Kube") -> None:
    from weft import installed

    config = installed.config(kube)
    if config is None:
        return
    by = "helm upgrade" if installed.helm_release(config) else "weft upgrade | kubectl apply -f -"
    raise Failure("weft is already installed in namespace weft", f"To change it: `{by}`.")


def _refuse_version(config: "Object") -> None:
    """Only from one minor version to the next, and never back: that is what is tested to work while it happens."""
    from weft import version

    text = str((config.get("data") or {}).get("version", ""))
    found, mine = _minor(text), _minor(version())
    if found and mine and found > mine:
        raise Failure(f"the control plane is {text}, newer than this CLI ({version()})", "Use the CLI of its version.")
    if found and mine and mine > (found[0], found[1] + 1) and found[0] == mine[0]:
        next_ = f"{found[0]}.{found[1] + 1}"
        raise Failure(f"the control plane is {text}, and this CLI is {version()}", f"Upgrade to {next_} first.")


def _minor(text: str) -> tuple[int, int] | None:
    """Major and minor of a version; None when it is none."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _refuse_none(objects: "list[Object]", what: str) -> None:
    if not objects:
        raise Failure(f"{what} is not installed in this cluster", "There is nothing to delete.")


def _refuse_helm(objects: "list[Object]", command: str) -> None:
    from weft import installed

    release = next(filter(None, map(installed.helm_release, objects)), None)
    if release:
        raise Failure(f"this installation belongs to the Helm release {release!r}", f"Use `{command}`.")


def _refuse_in_use(kube: "Kube", force: bool) -> None:
    from weft import installed

    pods = installed.meshed_pods(kube)
    if force:
        return
    for pod in pods[:LISTED]:
        click.echo(pod, err=True)
    if pods:
        raise Failure(
            f"pods that still have a proxy: {len(pods)}",
            "`weft uninject` their workloads or unlabel their namespaces, restart them; or --force.",
        )
    if installed.tap_service(kube):
        raise Failure("viz is still installed", "Run `weft viz uninstall | kubectl delete -f -` first, or --force.")


def _deliver(text: str, target: Target, applied: bool, wait: float | None, **_: Any) -> None:
    """Print the manifests, or apply them and wait."""
    from weft import apply

    if not applied:
        _print(text)
        return
    apply.apply(text, target)
    if wait is not None:
        apply.wait_ready(target, wait)


def _print(text: str) -> None:
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
