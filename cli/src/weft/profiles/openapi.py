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
    return ordered(route for path, item in document["paths"].items() for route in _operations(document, path, item))


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        document = yaml.load(text, Loader=LOADER)  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        raise Failure(f"{source} is neither YAML nor JSON: {error}", "Give an OpenAPI document.") from None
    version = str(document.get("openapi") or document.get("swagger")) if isinstance(document, dict) else ""
    if not version.startswith(("2.", "3.")) or not isinstance(document.get("paths"), dict):
        raise Failure(f"{source} is no OpenAPI 2.0 or 3.x document with paths", "See its field openapi or swagger.")
    return {**document, "paths": {path: item for path, item in document["paths"].items() if isinstance(item, dict)}}


def _operations(document: dict[str, Any], path: str, item: dict[str, Any]) -> Iterator[Route]:
    """What an operation does not say, its path does; what neither says, the document does."""
    whole = {name: document.get(name) for name in ("basePath", "servers")}
    for method in METHODS:
        operation = item.get(method)
        if isinstance(operation, dict):
            settings = {**whole, **item, **operation}
            full = quote(_base(settings) + path, safe=PLAIN)
            yield _route(method.upper(), full, str(settings.get(TIMEOUT, "")), settings.get(RETRYABLE) is True)


def _base(settings: dict[str, Any]) -> str:
    """What comes before a path: basePath, or the path of the first server, its variables by their defaults."""
    if settings["basePath"]:
        return str(settings["basePath"]).rstrip("/")
    servers = settings["servers"]
    first = _object(servers[0]) if isinstance(servers, list) and servers else {}
    url = str(first.get("url", ""))
    for name, variable in _object(first.get("variables")).items():
        url = url.replace(f"{{{name}}}", str(_object(variable).get("default", "")))
    try:
        return urlsplit(url).path.rstrip("/")
    except ValueError as error:
        raise Failure(f"server {url} is no URL: {error}", "Correct it in the OpenAPI document.") from None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _route(method: str, path: str, timeout: str, retryable: bool) -> Route:
    try:
        path_regex(path)
    except ValueError:  # a parameter that is not a whole segment: /teas/{id}.json
        parts = map(re.escape, re.split(r"\{[^}]*\}", path))
        return Route(method, "", "[^/]+".join(parts), title=path, timeout=timeout, retryable=retryable)
    return Route(method, path, timeout=timeout, retryable=retryable)
