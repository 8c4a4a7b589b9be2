"""What is added to a pod: the containers of the chart's template, changed by options. Pure."""

import copy
from dataclasses import dataclass
from typing import Any, Self

import msgspec

Object = dict[str, Any]


class Template(msgspec.Struct, frozen=True):
    """ConfigMap weft-proxy-template's `template.json`. `options` are the chart's defaults, by name without prefix."""

    version: str
    init: Object
    proxy: Object
    volumes: list[Object]
    options: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The init container and the proxy of one pod, to be changed in place."""

    init: Object
    proxy: Object

    @classmethod
    def of(cls, template: Template) -> Self:
        """Copies of the template's."""
        return cls(copy.deepcopy(template.init), copy.deepcopy(template.proxy))

    def set_env(self, name: str, value: str) -> None:
        """Sets an environment variable of the proxy, in its place if the template has it."""
        variables = self.proxy.setdefault("env", [])
        for variable in variables:
            if variable["name"] == name:
                variable.pop("valueFrom", None)
                variable["value"] = value
                return
        variables.append({"name": name, "value": value})

    def add_init_arg(self, flag: str, value: str) -> None:
        """Adds a value to a comma-separated argument of the init container."""
        if not value:
            return
        arguments = self.init.setdefault("args", [])
        if flag in arguments:
            arguments[arguments.index(flag) + 1] += f",{value}"
        else:
            arguments += [flag, value]

    def set_resource(self, kind: str, name: str, value: str) -> None:
        """Sets `resources.<kind>.<name>` of the proxy."""
        self.proxy.setdefault("resources", {}).setdefault(kind, {})[name] = value

    def set_image(self, value: str) -> None:
        """Sets the proxy's image."""
        self.proxy["image"] = value
