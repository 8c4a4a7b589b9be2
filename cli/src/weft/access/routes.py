"""The routes of ServiceProfiles as rules say them: by method and path. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from weft_kube.paths import path_regex, path_template, plain_path

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """The requests of a route; an empty method is any, an empty path too."""

    method: str
    path: str


def conditions(profiles: Iterable[Json]) -> Mapping[str, Condition]:
    """By the name that metrics have; none where it says more than method and path, or routes that share it differ."""
    found: dict[str, Condition | None] = {}
    for name, one in _routes(profiles):
        found[name] = one if found.get(name, one) == one else None
    return {name: one for name, one in found.items() if one}


def _routes(profiles: Iterable[Json]) -> Iterator[tuple[str, Condition | None]]:
    for profile in profiles:
        for route in (profile.get("spec") or {}).get("routes") or []:
            yield route["name"], _condition(route.get("condition") or {})


def _condition(condition: Json) -> Condition | None:
    method, template = str(condition.get("method", "")).upper(), condition.get("path", "")
    if not (method or template or condition.get("pathRegex")):
        return None
    if not template and not condition.get("pathRegex"):
        return Condition(method, "")
    try:
        known = path_template(path_regex(template) if template else condition["pathRegex"])
    except ValueError:
        return None
    path = plain_path(known) if known else None
    return Condition(method, path.replace("{}", "{id}")) if path else None
