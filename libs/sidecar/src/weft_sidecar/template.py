"""What is added to a pod: the containers of the chart's template, changed by options."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from weft_kube.names import INIT_CONTAINER, PROXY_CONTAINER

Object = dict[str, Any]
DEBUG_CONTAINER = "weft-debug"


class Template(msgspec.Struct, frozen=True):
    """ConfigMap weft-proxy-template's `template.json`. `options` are the chart's defaults, by name without prefix."""

    init: Object
    proxy: Object
    volumes: list[Object]
    options: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The init container, the proxy and what else runs beside it in one pod, to be changed in place."""

    init: Object
    proxy: Object
    more: list[Object] = field(default_factory=list)

    @classmethod
    def of(cls, template: Template) -> Self:
        """Copies of the template's."""
        return cls(copy.deepcopy(template.init), copy.deepcopy(template.proxy))

    @classmethod
    def found_in(cls, spec: Mapping[str, Any]) -> Self | None:
        """Those of an injected pod; None without a proxy."""
        containers = {one.get("name"): one for one in spec.get("initContainers") or []}
        if PROXY_CONTAINER not in containers:
            return None
        more = [containers[DEBUG_CONTAINER]] if DEBUG_CONTAINER in containers else []
        return cls(containers.get(INIT_CONTAINER, {}), containers[PROXY_CONTAINER], more)

    @property
    def containers(self) -> list[Object]:
        """All of them, in start order."""
        return [self.init, self.proxy, *self.more]

    def env(self, name: str) -> str:
        """The value of an environment variable of the proxy; "" without one."""
        return next((str(one.get("value", "")) for one in self.proxy.get("env", []) if one["name"] == name), "")

    def set_env(self, name: str, value: str) -> None:
        """Sets an environment variable of the proxy, in its place if the template has it."""
        variables = self.proxy.setdefault("env", [])
        for variable in variables:
            if variable["name"] == name:
                variable.pop("valueFrom", None)
                variable["value"] = value
                return
        variables.append({"name": name, "value": value})

    def init_arg(self, flag: str) -> str:
        """The value of an argument of the init container; "" without one."""
        arguments = self.init.get("args", [])
        return str(arguments[arguments.index(flag) + 1]) if flag in arguments else ""

    def set_init_arg(self, flag: str, value: str) -> None:
        """Sets an argument of the init container."""
        arguments = self.init.setdefault("args", [])
        if flag in arguments:
            arguments[arguments.index(flag) + 1] = value
        else:
            arguments += [flag, value]
