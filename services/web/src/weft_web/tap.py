"""Taps for the dashboard: the aggregated API's lines, handed on as server-sent events, with web's own rights."""

from collections.abc import AsyncIterator, Mapping

from weft_kube.api import ApiError, KubeApi
from weft_kube.workloads import parse_kind

from weft_web.faults import Fault, bad_parameter
from weft_web.question import name_of

GROUP = "/apis/tap.weft.dev/v1alpha1"
LINE = 2**20
"""Longest event taken, in bytes."""


def tap_path(query: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Path and parameters of the aggregated API for a browser's `namespace`, `kind`, `name` and filters."""
    namespace, name = name_of("namespace", query.get("namespace", "")), name_of("name", query.get("name", ""))
    if not namespace:
        raise bad_parameter("namespace", "is not given", "tap looks into one namespace at a time")
    try:
        kind = parse_kind(query.get("kind", "namespace"))
    except ValueError as error:
        raise bad_parameter("kind", str(error)) from None
    filters = {key: value for key, value in query.items() if key not in ("namespace", "kind", "name")}
    if kind.name == "namespace":
        if name not in ("", namespace):
            raise bad_parameter("name", f"{name!r} is not the namespace that is tapped", f"namespace={name}")
        name = namespace
    if not name:
        raise bad_parameter("name", f"is not given: which {kind.name}?")
    return f"{GROUP}/watch/namespaces/{namespace}/{kind.plural}/{name}/tap", filters


async def tap_lines(api: KubeApi, query: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Events as JSON, one each; Fault when the API refuses, is not reached, or breaks off."""
    path, filters = tap_path(query)
    try:
        async with api.stream("GET", path, filters) as response:
            async for line in response.lines(LINE):
                if line.strip():
                    yield line.strip()
    except ApiError as error:
        raise Fault(error.status, "tap_refused", str(error), _hint(error.status)) from error
    except OSError as error:
        cause = f"Kubernetes cannot be asked: {str(error) or type(error).__name__}"
        raise Fault(503, "tap_unreachable", cause, _hint(503)) from error


def _hint(status: int) -> str:
    if status == 403:
        return "bind ClusterRole weft-tap-viewer to the service account `web`"
    if status in (404, 503):
        return "is the tap service ready? see: weft check"
    return ""
