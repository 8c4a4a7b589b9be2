"""Which value each option has on a pod, and who gave it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft_kube.names import CONFIG_PREFIX, OPTION_SOURCES

from weft_sidecar.options import OPTIONS, Option, Setting
from weft_sidecar.patch import POD
from weft_sidecar.template import Sidecar


@dataclass(frozen=True, slots=True)
class Effective:
    """An option's value and its source: the pod, its namespace, the chart, or the default."""

    option: Option
    value: str
    source: str


def effective(found: Mapping[str, Setting], sidecar: Sidecar) -> list[Effective]:
    """All options, by what is set and what the containers hold."""
    return [_effective(option, found.get(option.name), sidecar) for option in OPTIONS.values()]


def recorded(metadata: Mapping[str, Any]) -> dict[str, Setting]:
    """What an injected pod's annotations say was set, and where."""
    annotations = metadata.get("annotations") or {}
    places = dict(pair.partition("=")[::2] for pair in annotations.get(OPTION_SOURCES, "").split(","))
    values = {name.removeprefix(CONFIG_PREFIX): value for name, value in annotations.items()}
    return {name: Setting(values[name], places.get(name, POD)) for name in OPTIONS if name in values}


def own_annotations(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The annotations of an injected pod without what the injector wrote for others."""
    others = {OPTIONS[name].annotation for name, one in recorded(metadata).items() if one.place != POD}
    return {name: value for name, value in (metadata.get("annotations") or {}).items() if name not in others}


def _effective(option: Option, setting: Setting | None, sidecar: Sidecar) -> Effective:
    if setting is not None and setting.value:
        return Effective(option, setting.value, setting.place.split()[0])
    value = option.effect.get(sidecar)
    if option.value:
        return Effective(option, value, "chart" if value else "default")
    return Effective(option, value or option.default, "default")
