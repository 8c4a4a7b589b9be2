"""kubernetes-api, kubernetes-version: is there a cluster, and can it carry weft?"""

from weft.checks.model import Category, Check, Scene, require
from weft.names import MINIMUM_KUBERNETES


def _client(scene: Scene) -> None:
    _ = scene.kube


def _query(scene: Scene) -> None:
    scene.kube.get("/version")


def _version(scene: Scene) -> None:
    version = scene.kube.version()
    require(
        version >= MINIMUM_KUBERNETES,
        "Kubernetes is {}.{}, and native sidecars need {}.{}".format(*version, *MINIMUM_KUBERNETES),
    )


API = Category(
    "kubernetes-api",
    (
        Check(
            "k8s-client",
            "can initialize the client",
            _client,
            "Point --kubeconfig or $KUBECONFIG at a kubeconfig, and --context at one of its contexts.",
            fatal=True,
        ),
        Check(
            "k8s-query",
            "can query the Kubernetes API",
            _query,
            "See that the cluster runs, and that `kubectl version` reaches it with the same kubeconfig.",
            fatal=True,
        ),
    ),
)

VERSION = Category(
    "kubernetes-version",
    (
        Check(
            "k8s-version",
            "is running the minimum Kubernetes version",
            _version,
            "Upgrade the cluster: the proxy is a native sidecar, on by default since Kubernetes 1.29.",
            fatal=True,
        ),
    ),
)
