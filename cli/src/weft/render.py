"""The chart as plain manifests, in two parts: the mesh itself (`core`) and its subchart `viz`.

`python -m weft.render CHART OUTDIR` writes core.yaml and viz.yaml; `make manifests` does so before the wheel is built.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from weft.errors import Failure
from weft.names import NAMESPACE

HERE = Path(__file__).parent
VIZ_SOURCE = "/charts/viz/"
ORDER = (
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "Service",
    "Deployment",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
    "APIService",
)
"""Kinds in the order to apply them; those not named come before the webhooks, in the chart's order."""

LATE = ORDER.index("MutatingWebhookConfiguration")


class Manifests(NamedTuple):
    """Both parts, as YAML."""

    core: str
    viz: str


def packaged() -> Manifests:
    """What was rendered from the chart's defaults when the wheel was built."""
    try:
        return Manifests(*((HERE / "manifests" / f"{part}.yaml").read_text("utf-8") for part in Manifests._fields))
    except FileNotFoundError:
        raise Failure("the rendered manifests are missing from this checkout", "Run `make manifests`.") from None


def rendered(arguments: Sequence[str], kept: Mapping[str, Any]) -> Manifests:
    """The packaged chart with what an installation has set, and upon that these --set and --values; by helm if any."""
    if not kept:
        return split(helm_template(chart(), arguments)) if arguments else packaged()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kept.json")
        file.write_text(json.dumps(kept), "utf-8")
        return split(helm_template(chart(), [f"--values={file}", *arguments]))


def chart() -> Path:
    """The chart: the wheel's copy, or the repository's own in a checkout."""
    for folder in (HERE / "chart", HERE.parents[2] / "charts" / "mesh"):
        if (folder / "Chart.yaml").is_file():
            return folder
    raise Failure("the chart is missing from this installation", "Install weft again.")


def helm_template(folder: Path, arguments: Sequence[str]) -> str:
    """The output of `helm template` with viz and the namespace in it."""
    helm = shutil.which("helm")
    if helm is None:
        raise Failure("what is set needs helm to be rendered, which is not on PATH", "Install it from https://helm.sh.")
    command = [helm, "template", "weft", str(folder), "--namespace", NAMESPACE]
    command += ["--set", "installNamespace=true,viz.enabled=true", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        cause = done.stderr.removeprefix("Error: ")
        raise Failure(f"helm cannot render the chart: {cause}", "Correct --set or --values.")
    return done.stdout


def split(text: str) -> Manifests:
    """Helm's output in two parts, each in the order to apply."""
    documents = [part.strip("\n") for part in re.split(r"^---[ \t]*$", text, flags=re.MULTILINE)]
    objects = [document for document in documents if re.search(r"^kind:", document, re.MULTILINE)]
    viz = [document for document in objects if VIZ_SOURCE in _source(document)]
    core = [document for document in objects if VIZ_SOURCE not in _source(document)]
    return Manifests(_join(core), _join(viz))


def parse(text: str) -> list[dict[str, Any]]:
    """The objects of a manifest."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, Loader=loader) if document]


def _source(document: str) -> str:
    found = re.search(r"^# Source: (.*)$", document, re.MULTILINE)
    return found[1] if found else ""


def _join(documents: list[str]) -> str:
    return "".join(f"---\n{document}\n" for document in sorted(documents, key=_rank))


def _rank(document: str) -> float:
    found = re.search(r"^kind: *(\S+)", document, re.MULTILINE)
    kind = found[1] if found else ""
    return ORDER.index(kind) if kind in ORDER else LATE - 0.5


def main(arguments: Sequence[str]) -> None:
    """Write both parts of a chart to a folder."""
    source, target = map(Path, arguments)
    target.mkdir(parents=True, exist_ok=True)
    manifests = split(helm_template(source, ()))
    for part, text in manifests._asdict().items():
        (target / f"{part}.yaml").write_text(text, "utf-8", newline="\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failure as failure:
        failure.show()
        raise SystemExit(1) from None
