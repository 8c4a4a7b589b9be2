"""Kubeconfig files, merged as kubectl merges them: which cluster, as whom, in which namespace."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from weft.errors import Failure

Object = dict[str, Any]
DEFAULT = Path(".kube/config")
POD_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts a pod's own token."""

KINDS = ("clusters", "contexts", "users")
FILES = {"clusters": ("certificate-authority",), "users": ("client-certificate", "client-key", "tokenFile")}
"""Settings that name files, from the folder of the kubeconfig."""

MALFORMED = (TypeError, AttributeError, KeyError, ValueError)
"""What reading YAML raises that is no kubeconfig."""


class Access(NamedTuple):
    """A context with what it names; paths are absolute."""

    cluster: Object
    user: Object
    namespace: str


def load(chosen: str | None, context: str | None) -> Access:
    """By `--kubeconfig` and `--context`, else $KUBECONFIG (which may hold several files) and its current context, else,
    in a pod, its own account."""
    files = [Path(chosen)] if chosen else _default_files()
    try:
        found = [_read(file) for file in files if chosen or file.exists()]
        if not any(found):
            return _own_pod(files)
        return _access(_merged(found), context)
    except MALFORMED as error:
        names = " ".join(map(str, files))
        raise _no_cluster(f"{names} is no kubeconfig ({type(error).__name__}: {error})") from error


def _no_cluster(cause: str, step: str = "Start one, or name one by --kubeconfig and --context.") -> Failure:
    return Failure(f"no cluster: {cause}", step)


def _default_files() -> list[Path]:
    named = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    return named or [Path.home() / DEFAULT]


def _read(file: Path) -> Object:
    """What a file says; paths in it become absolute."""
    import yaml

    try:
        found = yaml.safe_load(file.read_bytes()) or {}
    except OSError as error:
        raise _no_cluster(f"cannot read {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise _no_cluster(f"{file} is not YAML: {error}") from error
    for kind, settings in FILES.items():
        for entry in found.get(kind) or []:
            _make_absolute(entry[kind[:-1]] or {}, settings, file.absolute().parent)
    return dict(found)


def _make_absolute(settings: Object, names: Iterable[str], folder: Path) -> None:
    for name in names:
        if settings.get(name):
            settings[name] = str(folder / settings[name])
    plugin = settings.get("exec") or {}
    if os.sep in plugin.get("command", ""):
        plugin["command"] = str(folder / plugin["command"])


def _merged(found: Iterable[Object]) -> Object:
    """All names of all files; of two that are the same the first file's."""
    merged: Object = {kind: {} for kind in KINDS} | {"current-context": ""}
    for one in found:
        merged["current-context"] = merged["current-context"] or one.get("current-context")
        for kind in KINDS:
            for entry in one.get(kind) or []:
                merged[kind].setdefault(entry["name"], entry[kind[:-1]] or {})
    return merged


def _access(merged: Object, context: str | None) -> Access:
    name = context or merged["current-context"]
    if not name:
        raise _no_cluster("the kubeconfig has no current context", f"Choose by --context: {_listed(merged)}.")
    chosen = _named(merged, "contexts", name)
    user = _named(merged, "users", chosen["user"]) if chosen.get("user") else {}
    return Access(_named(merged, "clusters", chosen["cluster"]), user, chosen.get("namespace") or "default")


def _named(merged: Object, kind: str, name: str) -> Object:
    if name not in merged[kind]:
        raise _no_cluster(
            f"the kubeconfig has no {kind[:-1]} {name!r}", f"Choose a context by --context: {_listed(merged)}."
        )
    return dict(merged[kind][name])


def _listed(merged: Object) -> str:
    return ", ".join(merged["contexts"]) or "there is none"


def _own_pod(files: Iterable[Path]) -> Access:
    """The cluster of the pod in which this runs."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (POD_ACCOUNT / "token").exists():
        raise _no_cluster(f"there is no kubeconfig at {' '.join(map(str, files))}")
    where = f"[{host}]" if ":" in host else host
    cluster = {"server": f"https://{where}:{port}", "certificate-authority": str(POD_ACCOUNT / "ca.crt")}
    return Access(cluster, {"tokenFile": str(POD_ACCOUNT / "token")}, (POD_ACCOUNT / "namespace").read_text().strip())
