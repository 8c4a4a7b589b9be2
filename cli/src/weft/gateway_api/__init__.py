"""The Gateway API's kinds that weft reads: their CustomResourceDefinitions of the standard channel, and which version
a cluster has. Kinds that weft does not read are left out: their objects would be accepted and do nothing."""

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.cluster import Kube, Object

GROUP = "gateway.networking.k8s.io"
SERVED = {"httproutes": "v1", "grpcroutes": "v1", "referencegrants": "v1beta1"}
"""The version of each kind that weft reads."""

BUNDLE = f"{GROUP}/bundle-version"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(kind: str) -> str:
    """A kind's CustomResourceDefinition, as YAML."""
    return (files(__package__) / f"{kind}.yaml").read_text("utf-8")


def found(kube: "Kube") -> "dict[str, Object | None]":
    """Each kind's CustomResourceDefinition in a cluster; None where there is none."""
    return {kind: kube.find(f"{DEFINITIONS}/{kind}.{GROUP}") for kind in SERVED}


def version(crd: "Object") -> str:
    """The Gateway API's release that it is from."""
    return str((crd["metadata"].get("annotations") or {}).get(BUNDLE, "of unknown version"))


def serves(kind: str, crd: "Object") -> bool:
    """Does it serve the version that weft reads?"""
    return any(one["name"] == SERVED[kind] and one["served"] for one in crd["spec"]["versions"])
