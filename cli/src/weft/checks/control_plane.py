"""weft-config, weft-existence: is the control plane installed and running?"""

from weft import gateway_api, installed
from weft.checks.model import Category, Check, CheckSkippedError, Scene, require
from weft.checks.pods import require_ready
from weft.names import NAMESPACE

COMPONENTS = ("identity", "destination", "injector", "sp-validator")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KINDS = ("serviceprofiles.weft.dev", "accesspolicies.weft.dev")


def _config(scene: Scene) -> None:
    require(installed.config(scene.kube), f"there is no ConfigMap weft-config in namespace {NAMESPACE}")


def _version(scene: Scene) -> None:
    version = ((installed.config(scene.kube) or {}).get("data") or {}).get("version", "")
    require(version == scene.version, f"the CLI is {scene.version}, the control plane is {version}")


def _crds(scene: Scene) -> None:
    for name in KINDS:
        require(scene.once(f"{CRDS}/{name}"), f"there is no CustomResourceDefinition {name}")


def _gateway_api(scene: Scene) -> None:
    found = {kind: crd for kind, crd in gateway_api.found(scene.kube).items() if crd}
    if not found:
        raise CheckSkippedError
    absent = ", ".join(kind for kind in gateway_api.SERVED if kind not in found)
    require(not absent, f"of {gateway_api.GROUP} there are {', '.join(found)}, but not {absent}")
    for kind, crd in found.items():
        wanted = gateway_api.SERVED[kind]
        require(gateway_api.serves(kind, crd), f"{kind} {gateway_api.version(crd)} does not serve {wanted}")


CONFIG = Category(
    "weft-config",
    (
        Check(
            "weft-config",
            "the control plane is installed",
            _config,
            "Run `weft install | kubectl apply -f -`.",
            fatal=True,
        ),
        Check(
            "weft-crds",
            "its CustomResourceDefinitions exist",
            _crds,
            "Run `weft upgrade | kubectl apply -f -`.",
        ),
        Check(
            "weft-gateway-api",
            "the Gateway API's kinds are those that weft reads",
            _gateway_api,
            "Run `weft install --crds | kubectl apply --server-side -f -`; weft needs release v1.1 or newer.",
            warning=True,
        ),
        Check(
            "weft-version",
            "CLI and control plane have the same version",
            _version,
            "Run `weft upgrade | kubectl apply -f -`, or install the CLI of the control plane's version.",
            warning=True,
        ),
    ),
)


def _ready(component: str) -> Check:
    return Check(
        f"weft-{component}-ready",
        f"{component} is ready",
        lambda scene: require_ready(scene, component),
        f"See `kubectl -n {NAMESPACE} describe pod -l weft.dev/component={component}` and its logs.",
        fatal=True,
        retry=True,
    )


EXISTENCE = Category("weft-existence", tuple(_ready(component) for component in COMPONENTS))
