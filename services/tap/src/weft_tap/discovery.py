"""What the API server and kubectl read about this API group. Pure."""

from typing import Any

from weft_kube.workloads import KINDS

from weft_tap.subject import GROUP, VERSION

_GROUP_VERSION = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
API_GROUP: dict[str, Any] = {
    "kind": "APIGroup",
    "apiVersion": "v1",
    "name": GROUP,
    "versions": [_GROUP_VERSION],
    "preferredVersion": _GROUP_VERSION,
}
API_GROUP_LIST: dict[str, Any] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [API_GROUP]}
API_RESOURCE_LIST: dict[str, Any] = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {"name": f"{kind.plural}/tap", "singularName": "", "namespaced": True, "kind": "Tap", "verbs": ["watch"]}
        for kind in KINDS
        if kind.name != "service"
    ],
}
DOCUMENTS = {
    "/apis": API_GROUP_LIST,
    f"/apis/{GROUP}": API_GROUP,
    f"/apis/{GROUP}/{VERSION}": API_RESOURCE_LIST,
}
