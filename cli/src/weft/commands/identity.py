"""`weft identity`: the certificates of proxies, and the rotation of the trust anchor."""

from typing import TYPE_CHECKING, Any

import click

from weft.errors import Failure
from weft.options import Command, Group, Target, output_option, pass_target

if TYPE_CHECKING:
    from weft.cluster import Kube
    from weft.leaf import Leaf

HEADER = ("POD", "IDENTITY", "SERIAL", "EXPIRES", "RENEWS BY", "TRUSTED")
OLD_PHASE = "a rotation is under way already"


class Default(Group):
    """A group whose command is `show` when the first word is no command: a pod's name."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click does, but for pods."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


@click.group(cls=Default)
def identity() -> None:
    """Show the certificate of a pod's proxy (`weft identity POD`), or rotate the trust anchor."""


@identity.command(cls=Command)
@click.argument("pods", nargs=-1, required=True, metavar="POD...")
@output_option("table", "json")
@pass_target
def show(target: Target, pods: tuple[str, ...], output: str) -> None:
    """Show the certificate that a pod's proxy uses right now.

    It comes from a TLS handshake with the proxy, and is verified against the trust bundle of the pod's namespace.
    """
    from weft.views.table import document, table

    kube = target.connect()
    namespace = target.namespace_or_default(kube)
    found = [(_name(pod), _leaf(kube, namespace, _name(pod))) for pod in pods]
    if output == "json":
        click.echo(document([_fields(namespace, pod, leaf) for pod, leaf in found]))
    else:
        click.echo(table(HEADER, [_row(pod, leaf) for pod, leaf in found], left=len(HEADER)))


@identity.command(cls=Command)
@click.option("--dry-run", is_flag=True, help="Show the steps and change nothing.")
@click.option("--no-wait", is_flag=True, help="Return as soon as the rotation is asked for.")
@pass_target
def rotate(target: Target, dry_run: bool, no_wait: bool) -> None:
    """Replace the trust anchor and the issuer, without a restart and without a lost request.

    Identity carries it out, and goes on when this command is interrupted; run it again to look on. With all proxies
    reachable it takes a few minutes; a proxy that does not answer is waited for as long as its certificate may live.
    """
    from weft import rotation

    kube = target.connect()
    now = rotation.progress(kube)
    if dry_run:
        _steps(kube, now.line())
        return
    if now.idle:
        _require_key(kube)
        rotation.request(kube)
    else:
        click.echo(OLD_PHASE)
    if no_wait:
        return
    for now in rotation.follow(kube):
        click.echo(now.line())
    if now.note != "finished":
        raise Failure(f"the rotation has ended: {now.note}", "See the log of deploy/identity.")


def _steps(kube: "Kube", state: str) -> None:
    from weft.checks import certificates
    from weft.rotation import STEPS

    for number, certificate in enumerate(_anchors(kube), 1):
        click.echo(
            f"anchor {number}   {certificates.sha256(certificate)[:16]}, until {certificate.not_valid_after_utc}"
        )
    click.echo(f"state      {state}\n")
    for phase, what in STEPS:
        click.echo(f"{phase:<10} {what}")
    click.echo("\nNothing was changed.")


def _anchors(kube: "Kube") -> Any:
    from weft.checks import certificates
    from weft.names import NAMESPACE, TRUST_BUNDLE, TRUST_BUNDLE_KEY

    return certificates.parse(_bundle(kube, NAMESPACE).encode(), f"ConfigMap {TRUST_BUNDLE}, {TRUST_BUNDLE_KEY},")


def _require_key(kube: "Kube") -> None:
    """Refuse early what identity could not do; who may not read the Secret is told by identity."""
    from weft.errors import ApiError
    from weft.names import NAMESPACE

    try:
        secret = kube.find(f"/api/v1/namespaces/{NAMESPACE}/secrets/weft-trust-anchor") or {}
    except ApiError:
        return
    if "ca.key" not in (secret.get("data") or {}):
        raise Failure(
            "Secret weft-trust-anchor has no ca.key: the anchor's key is kept elsewhere",
            "Rotate it where it is made; SECURITY.md has the steps.",
        )


def _name(pod: str) -> str:
    return pod.removeprefix("pod/").removeprefix("po/").removeprefix("pods/")


def _leaf(kube: "Kube", namespace: str, pod: str) -> "Leaf":
    from weft import leaf

    kube.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")
    return leaf.live_leaf(lambda: kube.forward(namespace, pod, leaf.PORT), _bundle(kube, namespace))


def _bundle(kube: "Kube", namespace: str) -> str:
    from weft.names import TRUST_BUNDLE, TRUST_BUNDLE_KEY

    found = kube.find(f"/api/v1/namespaces/{namespace}/configmaps/{TRUST_BUNDLE}") or {}
    return str((found.get("data") or {}).get(TRUST_BUNDLE_KEY, ""))


def _row(pod: str, leaf: "Leaf") -> tuple[str, ...]:
    time = "%Y-%m-%d %H:%M:%SZ"
    until, renews = leaf.not_after.strftime(time), leaf.renewal.strftime(time)
    return pod, leaf.identity, leaf.serial, until, renews, leaf.trusted or "yes"


def _fields(namespace: str, pod: str, leaf: "Leaf") -> dict[str, Any]:
    return {
        "namespace": namespace,
        "pod": pod,
        "identity": leaf.identity,
        "serial": leaf.serial,
        "sha256": leaf.sha256,
        "issuer": leaf.issuer,
        "not_before": leaf.not_before.isoformat(),
        "not_after": leaf.not_after.isoformat(),
        "renews_by": leaf.renewal.isoformat(),
        "trusted": not leaf.trusted,
        "reason": leaf.trusted,
    }
