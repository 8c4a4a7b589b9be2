"""All objects of the cluster by name, before weft and after it; and what of an installation an upgrade keeps."""

import hashlib
import json
import re

import yaml
from lab import get, kubectl

PASSING = (
    *("Event", "Lease", "Pod", "PodMetrics", "Endpoints", "EndpointSlice", "ReplicaSet", "ControllerRevision"),
    *("ComponentStatus", "IPAddress", "CertificateSigningRequest"),
)
KEPT = re.compile(
    r"^(CustomResourceDefinition|APIService) \S+ (?!\w+\.tap)\S*(weft\.dev|gateway\.networking\.k8s\.io)$"
)
"""Kinds of users' objects stay, and with them the objects."""
OURS = re.compile(r"^(\S+ (<none>|weft) \S+|\S+ \S+ weft\S*)$")
BEFORE = "before-weft"


def everything() -> set[str]:
    """Kind, namespace and name of whatever lasts."""
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    columns = "custom-columns=K:.kind,S:.metadata.namespace,N:.metadata.name"
    found = kubectl("get", ",".join(kinds), "-A", "--ignore-not-found", "--no-headers", "-o", columns)
    lines = {" ".join(line.split()) for line in found.splitlines()}
    return {line for line in lines if line.split()[0] not in PASSING and not KEPT.match(line)}


def remember() -> None:
    """Keeps what is there in the cluster itself, as other runs of the suite go on with it."""
    names = "\n".join(sorted(everything()))
    kubectl("-n", "default", "delete", "configmap", BEFORE, "--ignore-not-found")
    kubectl("-n", "default", "create", "configmap", BEFORE, f"--from-literal=names={names}")


def remembered() -> set[str]:
    """What was there before the suite installed weft; nothing when somebody else did."""
    found = get("configmaps", "-n", "default", "--field-selector", f"metadata.name={BEFORE}")["items"]
    return {line for one in found for line in one["data"]["names"].splitlines()}


def left(before: set[str], after: set[str]) -> list[str]:
    """What has come and is not that of tests: cluster-wide, in weft's namespace, or called weft somewhere."""
    return sorted(line for line in after - before if OURS.match(line) and not line.startswith("Namespace "))


def pods() -> dict[str, str]:
    """weft's pods that stay: name → unit."""
    labels = {pod["metadata"]["name"]: pod["metadata"] for pod in get("pods", "-n", "weft")["items"]}
    return {name: of["labels"]["weft.dev/component"] for name, of in labels.items() if "deletionTimestamp" not in of}


def keys() -> dict[str, str]:
    """Certificates and keys of anchor, issuer, webhooks and tap, as hashes."""
    secrets = (one for one in get("secrets", "-n", "weft")["items"] if one["type"] != "helm.sh/release.v1")
    return {one["metadata"]["name"]: hashlib.sha256(json.dumps(one["data"]).encode()).hexdigest() for one in secrets}


def settings() -> object:
    """What the installation says that was set."""
    return yaml.safe_load(get("configmap", "weft-config", "-n", "weft")["data"]["settings"])
