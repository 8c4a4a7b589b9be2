"""Routes of an OpenAPI document, 2.0 (Swagger) or 3.x. Pure."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import yaml
from weft_kube.paths import path_regex

from weft.errors import Failure
from weft.profiles.model import Route, ordered
from weft.yamledit import LOADER

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
PLAIN = "/{}%!$&'()*+,;=:@-._~"
"""What stands in paths as it is; all else is percent-encoded in requests."""

RETRYABLE, TIMEOUT = "x-weft-retryable", "x-weft-timeout"


def routes(text: str, source: str) -> list[Route]:
    """Every operation; `x-weft-retryable` and `x-weft-timeout` of it or its path are taken over."""
    document = _parse(text, source)
    base = _base(document)
    return ordered(
        route for path, item in document["paths"].items() for route in _operations(quote(base + path, safe=PLAIN), item)
    )


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        document = yaml.load(text, Loader=LOADER)  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        raise Failure(f"{source} is neither YAML nor JSON: {error}", "Give an OpenAPI document.") from None
    version = str(document.get("openapi") or document.get("swagger")) if isinstance(document, dict) else ""
    if not version.startswith(("2.", "3.")) or not isinstance(document.get("paths"), dict):
        raise Failure(f"{source} is no OpenAPI 2.0 or 3.x document with paths", "See its field openapi or swagger.")
    return {**document, "paths": {path: item for path, item in document["paths"].items() if isinstance(item, dict)}}


def _base(document: dict[str, Any]) -> str:
    """What comes before every path: basePath, or the path of the first server."""
    servers = document.get("servers") or [{}]
    url = document.get("basePath") or urlsplit(str(servers[0].get("url", ""))).path
    return str(url).rstrip("/")


def _operations(path: str, item: dict[str, Any]) -> Iterator[Route]:
    for method in METHODS:
        operation = item.get(method)
        if isinstance(operation, dict):
            settings = {**item, **operation}
            yield _route(method.upper(), path, str(settings.get(TIMEOUT, "")), settings.get(RETRYABLE) is True)


def _route(method: str, path: str, timeout: str, retryable: bool) -> Route:
    try:
        path_regex(path)
    except ValueError:  # a parameter that is not a whole segment: /teas/{id}.json
        parts = map(re.escape, re.split(r"\{[^}]*\}", path))
        return Route(method, "", "[^/]+".join(parts), title=path, timeout=timeout, retryable=retryable)
    return Route(method, path, timeout=timeout, retryable=retryable)
