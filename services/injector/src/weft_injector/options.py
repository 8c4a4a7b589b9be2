"""Options of injection: one table of annotations `config.weft.dev/<name>`, from which validation and effect follow.

Pure. A value may come from the chart, the namespace or the pod; the last wins.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from weft_kube.names import CONFIG_PREFIX, parse_ports

from weft_injector.sidecar import Sidecar

QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi)?")
DURATION = re.compile(r"\d+(ms|s|m)")
LOG_LEVEL = re.compile(r"[A-Za-z0-9_:=,-]+")
IMAGE = re.compile(r"[\w./-]+(:\d+/[\w./-]+)?(:[\w.-]+)?(@sha256:[0-9a-f]{64})?")


class OptionError(Exception):
    """Every invalid option at once, with the place where it stands."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Annotations of one place, as a message names it: "namespace shop", "pod"."""

    place: str
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Option:
    """One option: `parse` gives the value in its normal form or raises ValueError; `apply` changes the sidecar."""

    name: str
    type: str
    parse: Callable[[str], str]
    apply: Callable[[Sidecar, str], None]
    doc: str

    @property
    def annotation(self) -> str:
        """The annotation's name."""
        return CONFIG_PREFIX + self.name


def ports(text: str) -> str:
    """Ports and ranges, without blanks: "25,8000-8010"."""
    return ",".join(str(r.start) if len(r) == 1 else f"{r.start}-{r.stop - 1}" for r in parse_ports(text))


def subnets(text: str) -> str:
    """Networks in CIDR notation."""
    return ",".join(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())


def matching(pattern: re.Pattern[str], meaning: str) -> Callable[[str], str]:
    """A parser for text that matches a pattern as a whole."""

    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text!r} is not {meaning}")
        return text

    return parse


quantity = matching(QUANTITY, "a quantity such as 100m or 64Mi")
duration = matching(DURATION, "a duration such as 500ms or 30s")


def env(name: str) -> Callable[[Sidecar, str], None]:
    """Sets an environment variable of the proxy."""
    return lambda sidecar, value: sidecar.set_env(name, value)


def init_arg(flag: str) -> Callable[[Sidecar, str], None]:
    """Adds to a comma-separated argument of the init container."""
    return lambda sidecar, value: sidecar.add_init_arg(flag, value)


def resource(kind: str, name: str) -> Callable[[Sidecar, str], None]:
    """Sets a request or limit of the proxy."""
    return lambda sidecar, value: sidecar.set_resource(kind, name, value)


OPTIONS = {
    option.name: option
    for option in (
        Option("skip-inbound-ports", "ports", ports, init_arg("--skip-inbound-ports"),
               "Ports of the pod that clients reach without the proxy."),
        Option("skip-outbound-ports", "ports", ports, init_arg("--skip-outbound-ports"),
               "Ports that the application dials without the proxy."),
        Option("skip-subnets", "networks", subnets, init_arg("--skip-subnets"),
               "Networks whose traffic, in and out, goes past the proxy."),
        Option("opaque-ports", "ports", ports, env("WEFT_OPAQUE_PORTS"),
               "Ports of the pod whose bytes the proxy never looks into: servers that speak first, unknown protocols."),
        Option("proxy-cpu-request", "quantity", quantity, resource("requests", "cpu"), "CPU reserved for the proxy."),
        Option("proxy-cpu-limit", "quantity", quantity, resource("limits", "cpu"), "CPU that the proxy may use."),
        Option("proxy-memory-request", "quantity", quantity, resource("requests", "memory"),
               "Memory reserved for the proxy."),
        Option("proxy-memory-limit", "quantity", quantity, resource("limits", "memory"),
               "Memory above which the proxy is restarted."),
        Option("proxy-log-level", "log level", matching(LOG_LEVEL, "a log level such as info or info,h2=warn"),
               env("WEFT_LOG"), "What the proxy logs: a level, or a list of target=level."),
        Option("proxy-log-format", "json or plain", matching(re.compile("json|plain"), "json or plain"),
               env("WEFT_LOG_FORMAT"), "How the proxy logs."),
        Option("shutdown-grace", "duration", duration, env("WEFT_SHUTDOWN_GRACE"),
               "How long open requests may go on when the pod ends."),
        Option("proxy-image", "image", matching(IMAGE, "an image"), Sidecar.set_image,
               "The proxy's image, instead of the chart's."),
    )
}  # fmt: skip


def effective(layers: Iterable[Layer]) -> dict[str, str]:
    """Options that are set, by name, in their normal form; raises OptionError that names each fault and its place."""
    values: dict[str, str] = {}
    faults: list[str] = []
    for layer in layers:
        for annotation, text in layer.annotations.items():
            if not annotation.startswith(CONFIG_PREFIX):
                continue
            try:
                name, value = _read(annotation, text)
            except ValueError as error:
                faults.append(f"annotation {annotation} of the {layer.place}: {error}")
            else:
                values[name] = value
    if faults:
        raise OptionError("; ".join(faults))
    return values


def _read(annotation: str, text: str) -> tuple[str, str]:
    name = annotation.removeprefix(CONFIG_PREFIX)
    option = OPTIONS.get(name)
    if option is None:
        close = difflib.get_close_matches(name, OPTIONS, 1)
        raise ValueError("there is no such option" + (f"; did you mean {close[0]}?" if close else ""))
    return name, option.parse(text)
