"""Routes of an OpenAPI document, 2.0 (Swagger) or 3.x. Pure."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import yaml
from weft_kube.paths import path_regex

from weft.errors import Failure
from weft.profiles.model import METHODS, Route, ordered
from weft.yamledit import LOADER

PLAIN = "/{}%!$&'()*+,;=:@-._~"
"""What stands in paths as it is; all else is percent-encoded in requests."""

RETRYABLE, TIMEOUT = "x-weft-retryable", "x-weft-timeout"


def routes(text: str, source: str) -> list[Route]:
    """Every operation; `x-weft-retryable` and `x-weft-timeout` of it or its path are taken over."""
    document = _parse(text, source)
    paths = _paths(document, source)
    found = ordered(route for path, item in paths for route in _operations(document, path, item))
    if not found:
        raise Failure(f"{source} has no operations: its paths are empty", "Give the document that describes them.")
    return found


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        document = yaml.load(text, Loader=LOADER)  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        raise Failure(f"{source} is neither YAML nor JSON: {error}", "Give an OpenAPI document.") from None
    version = str(document.get("openapi") or document.get("swagger")) if isinstance(document, dict) else ""
    if not version.startswith(("2.", "3.")) or not isinstance(document.get("paths"), dict):
        raise Failure(f"{source} is no OpenAPI 2.0 or 3.x document with paths", "See its field openapi or swagger.")
    return dict(document)


def _paths(document: dict[str, Any], source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Paths and what they hold, here or elsewhere in the document."""
    for path, item in document["paths"].items():
        if str(path).startswith("/"):
            yield path, _resolved(document, _object(item), f"path {path} of {source}")
        elif not str(path).startswith("x-"):
            raise Failure(f"path {path} of {source} does not begin with /", "Correct it in the OpenAPI document.")


def _resolved(document: dict[str, Any], item: dict[str, Any], name: str) -> dict[str, Any]:
    """The item, with what its `$ref` says where it says nothing itself."""
    ref = item.get("$ref")
    if ref is None:
        return item
    found: Any = document if str(ref).startswith("#/") else None
    for step in unquote(str(ref)[2:]).split("/"):
        found = _object(found).get(step.replace("~1", "/").replace("~0", "~"))
    if not isinstance(found, dict) or "$ref" in found:
        raise Failure(f"{name} is in {ref}, which the document does not hold", "Bundle all files into one, give that.")
    return {**found, **item}


def _operations(document: dict[str, Any], path: str, item: dict[str, Any]) -> Iterator[Route]:
    """What an operation does not say, its path does; what neither says, the document does."""
    whole = {name: document.get(name) for name in ("basePath", "servers")}
    for method in METHODS:
        operation = item.get(method.lower())
        if isinstance(operation, dict):
            settings = {**whole, **item, **operation}
            full = quote(_base(settings) + path, safe=PLAIN)
            retryable = _retryable(settings.get(RETRYABLE, False), f"{method} {path}")
            yield _route(method, full, str(settings.get(TIMEOUT, "")), retryable)


def _retryable(value: Any, operation: str) -> bool:
    if not isinstance(value, bool):
        raise Failure(f"{RETRYABLE} of {operation} is {value!r}, not true or false", "Write it without quotes.")
    return value


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
