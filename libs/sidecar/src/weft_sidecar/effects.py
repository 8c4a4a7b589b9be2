"""What an option changes: each effect sets a value in the containers that are added, and can read it there again."""

import json
from dataclasses import dataclass
from typing import Protocol

from weft_sidecar.template import Sidecar


class Effect(Protocol):
    """A place in the sidecar."""

    def set(self, sidecar: Sidecar, value: str) -> None:
        """Put the value there."""

    def get(self, sidecar: Sidecar) -> str:
        """The value as it stands there; "" for none."""


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable of the proxy; `form` is what stands around the value ("[::]:{}")."""

    name: str
    form: str = "{}"

    def set(self, sidecar: Sidecar, value: str) -> None:
        """Sets the variable."""
        sidecar.set_env(self.name, self.form.replace("{}", value))

    def get(self, sidecar: Sidecar) -> str:
        """What the variable holds, without what stands around the value."""
        before, _, after = self.form.partition("{}")
        return sidecar.env(self.name).removeprefix(before).partition(after or "\0")[0]


@dataclass(frozen=True, slots=True)
class Port:
    """Where the proxy takes redirected connections: its variable, the redirection's argument, the declared port."""

    variable: Variable
    flag: str
    declared: str = ""

    def set(self, sidecar: Sidecar, value: str) -> None:
        """Sets all of them."""
        self.variable.set(sidecar, value)
        sidecar.set_init_arg(self.flag, value)
        for port in sidecar.proxy.get("ports", []):
            if port.get("name") == self.declared:
                port["containerPort"] = int(value)

    def get(self, sidecar: Sidecar) -> str:
        """The redirection's port."""
        return sidecar.init_arg(self.flag)


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of the init container."""

    flag: str

    def set(self, sidecar: Sidecar, value: str) -> None:
        """Sets the argument."""
        sidecar.set_init_arg(self.flag, value)

    def get(self, sidecar: Sidecar) -> str:
        """The argument."""
        return sidecar.init_arg(self.flag)


@dataclass(frozen=True, slots=True)
class Addition:
    """A comma-separated argument of the init container, whose own part stays first."""

    flag: str

    def set(self, sidecar: Sidecar, value: str) -> None:
        """Adds to the argument."""
        if value:
            own = sidecar.init_arg(self.flag)
            sidecar.set_init_arg(self.flag, f"{own},{value}" if own else value)

    def get(self, sidecar: Sidecar) -> str:  # noqa: ARG002 (its own part is no option)
        """Nothing: the annotation alone tells what was added."""
        return ""


@dataclass(frozen=True, slots=True)
class Resource:
    """A request or limit of the proxy."""

    kind: str
    name: str

    def set(self, sidecar: Sidecar, value: str) -> None:
        """Sets `resources.<kind>.<name>`."""
        sidecar.proxy.setdefault("resources", {}).setdefault(self.kind, {})[self.name] = value

    def get(self, sidecar: Sidecar) -> str:
        """What is requested, or the limit."""
        return str(sidecar.proxy.get("resources", {}).get(self.kind, {}).get(self.name, ""))


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the proxy's container."""

    name: str

    def set(self, sidecar: Sidecar, value: str) -> None:
        """Sets the field."""
        sidecar.proxy[self.name] = value

    def get(self, sidecar: Sidecar) -> str:
        """The field."""
        return str(sidecar.proxy.get(self.name, ""))


class Variables:
    """More environment variables of the proxy."""

    def set(self, sidecar: Sidecar, value: str) -> None:
        """Adds them all."""
        for name, text in json.loads(value).items():
            sidecar.set_env(name, text)

    def get(self, sidecar: Sidecar) -> str:  # noqa: ARG002 (which ones were added cannot be seen)
        """Nothing: the annotation alone tells."""
        return ""


class Elsewhere:
    """Nothing here: destination reads the annotation."""

    def set(self, sidecar: Sidecar, value: str) -> None:
        """Nothing to do."""

    def get(self, sidecar: Sidecar) -> str:  # noqa: ARG002
        """Nothing: the annotation alone tells."""
        return ""


class DebugContainer:
    """A container of the user's image beside the proxy, that may capture the pod's traffic."""

    def set(self, sidecar: Sidecar, value: str) -> None:
        """Adds it. It runs as the proxy does, so that Jobs end; a terminal keeps a shell from ending."""
        sidecar.more.append(
            {
                "name": "weft-debug",
                "image": value,
                "restartPolicy": "Always",
                "stdin": True,
                "tty": True,
                "securityContext": {
                    "runAsUser": 0,
                    "runAsNonRoot": False,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }
        )

    def get(self, sidecar: Sidecar) -> str:
        """Its image."""
        return next((str(one["image"]) for one in sidecar.more), "")
