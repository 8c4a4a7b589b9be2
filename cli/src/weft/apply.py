"""`--apply` and `--wait`: manifests go through kubectl, as users would pipe them; then until all is ready."""

import shutil
import subprocess
from typing import TYPE_CHECKING

import click

from weft.errors import Failure

if TYPE_CHECKING:
    from weft.options import Target


def apply(text: str, target: "Target", *options: str) -> None:
    """`kubectl apply -f -` with these options, kubeconfig and user; what it says goes to stderr."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise Failure("--apply needs kubectl, which is not on PATH", "Install it, or apply the output another way.")
    chosen = {"--kubeconfig": target.kubeconfig, "--context": target.context, "--as": target.as_user}
    context = [f"{name}={value}" for name, value in chosen.items() if value]
    context += [f"--as-group={group}" for group in target.as_group]
    done = subprocess.run(
        [kubectl, *context, "apply", *options, "-f", "-"],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    click.echo(done.stdout, err=True, nl=False)
    if done.returncode:
        step = "What it says above is applied already." if done.stdout else "Nothing was applied."
        raise Failure(f"kubectl could not apply the manifests: {done.stderr}", step)


def wait_ready(target: "Target", seconds: float) -> None:
    """Until every check holds; Failure with the first that does not after so many seconds."""
    from weft import version
    from weft.checks import plan, report, viz
    from weft.checks.model import Scene
    from weft.checks.runner import run

    scene = Scene(target.connect, version(), target.namespace)
    categories = [*plan.INSTALLED, *([plan.VIZ] if viz.is_installed(scene) else [])]
    results = list(run(categories, scene, seconds, lambda text: click.echo(f"waiting: {text}", err=True)))
    if failed := report.first_error(results):
        raise Failure(f"{failed.description}: {failed.error.partition(chr(10))[0]}", failed.hint)
    click.echo(report.summary(results), err=True)
