"""Whether routes, profiles and annotations hold as they are written; destination knows."""

from functools import partial

from weft.checks.model import Check, CheckSkippedError, Scene, require
from weft.forward import get_json, ready_pod
from weft.names import NAMESPACE, PORT_SERVICE_ADMIN

SHOWN = 10


def _held(scene: Scene) -> None:
    pod = ready_pod(scene.kube, "destination")
    if pod is None:
        raise CheckSkippedError
    open_socket = partial(scene.kube.forward, NAMESPACE, pod, PORT_SERVICE_ADMIN)
    status, answer = get_json(open_socket, "/debug/faults", "destination")
    if status >= 400:
        raise CheckSkippedError
    mine = [one for one in answer["faults"] if scene.namespace in (None, one["namespace"])]
    lines = [f"{one['kind']} {one['namespace']}/{one['name']}: {one['message']}" for one in mine]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    require(not lines, "\n".join([*lines[:SHOWN], *more]))


CHECK = Check(
    "proxy-routing",
    "routes, profiles and annotations hold as they are written",
    _held,
    "Correct what is named, or take it away; `weft diagnostics policy` shows what holds for each Service.",
    warning=True,
)
