"""Options of injection: one table of annotations `config.weft.dev/<name>`.

Validation, effect, docs/injection.md and `weft explain POD` follow from it. A value may come from the chart, the
namespace or the pod; the last wins.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from weft_kube.names import CONFIG_PREFIX, MAX_VALUE

from weft_sidecar.effects import (
    Addition,
    Argument,
    DebugContainer,
    Effect,
    Elsewhere,
    Field,
    Port,
    Resource,
    Variable,
    Variables,
)
from weft_sidecar.template import Sidecar
from weft_sidecar.values import (
    COUNT,
    DURATION,
    IMAGE,
    LIMIT,
    LOG_LEVEL,
    NETWORKS,
    PORT,
    PORTS,
    QUANTITY,
    SIZE,
    SPAN,
    VARIABLES,
    Type,
    one_of,
)


class OptionError(Exception):
    """Every invalid option at once, with the place where it stands."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Annotations of one place, as a message names it: "namespace shop", "pod"."""

    place: str
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Option:
    """One option."""

    name: str
    type: Type
    default: str
    """What holds when nobody sets it, with the chart as it comes."""
    value: str
    """The chart's value that changes the default for the cluster; "" when there is none."""
    effect: Effect
    doc: str

    @property
    def annotation(self) -> str:
        """The annotation's name."""
        return CONFIG_PREFIX + self.name


@dataclass(frozen=True, slots=True)
class Setting:
    """A value in its normal form, and the place that gave it."""

    value: str
    place: str


OPTIONS = {
    option.name: option
    for option in (
        Option("skip-inbound-ports", PORTS, "", "inject.skipInboundPorts", Addition("--skip-inbound-ports"),
               "Ports of the pod that clients reach without the proxy."),
        Option("skip-outbound-ports", PORTS, "", "inject.skipOutboundPorts", Addition("--skip-outbound-ports"),
               "Ports that the application dials without the proxy."),
        Option("skip-subnets", NETWORKS, "", "inject.skipSubnets", Addition("--skip-subnets"),
               "Networks that the application dials without the proxy."),
        Option("opaque-ports", PORTS, "25,587,3306,4444,5432,6379,9300,11211", "inject.opaquePorts",
               Variable("WEFT_OPAQUE_PORTS"),
               "Ports of the pod whose bytes the proxy never looks into: servers that speak first, unknown protocols."),
        Option("default-access", one_of("anyone", "authenticated", "deny", "audit-authenticated", "audit-deny"), "",
               "defaultAccess", Elsewhere(),
               "Who may call where no AccessPolicy says so (docs/access.md); of a namespace it holds at once."),
        Option("proxy-cpu-request", QUANTITY, "10m", "global.proxy.resources.requests.cpu", Resource("requests", "cpu"),
               "CPU reserved for the proxy."),
        Option("proxy-cpu-limit", QUANTITY, "", "global.proxy.resources.limits.cpu", Resource("limits", "cpu"),
               "CPU that the proxy may use."),
        Option("proxy-memory-request", QUANTITY, "20Mi", "global.proxy.resources.requests.memory",
               Resource("requests", "memory"), "Memory reserved for the proxy."),
        Option("proxy-memory-limit", QUANTITY, "", "global.proxy.resources.limits.memory", Resource("limits", "memory"),
               "Memory above which the proxy is restarted; up to half of it waits for slow readers."),
        Option("proxy-ephemeral-storage-request", QUANTITY, "", "", Resource("requests", "ephemeral-storage"),
               "Disk of the node reserved for the proxy: for its log, it writes nothing else."),
        Option("proxy-ephemeral-storage-limit", QUANTITY, "", "", Resource("limits", "ephemeral-storage"),
               "Disk of the node above which the pod is evicted."),
        Option("proxy-workers", COUNT, "1", "global.proxy.workers", Variable("WEFT_WORKERS"),
               "Threads that carry traffic: more than one for a pod that needs more than one core for it."),
        Option("proxy-log-level", LOG_LEVEL, "info,h2=warn", "global.proxy.logLevel", Variable("WEFT_LOG"),
               "What the proxy logs: a level, or a list of target=level."),
        Option("proxy-log-format", one_of("json", "plain"), "json", "global.proxy.logFormat",
               Variable("WEFT_LOG_FORMAT"), "How the proxy logs."),
        Option("access-log", one_of("off", "json"), "off", "", Variable("WEFT_ACCESS_LOG"),
               "json: every exchange as a line on the proxy's standard output."),
        Option("connect-timeout", SPAN, "1s", "", Variable("WEFT_CONNECT_TIMEOUT"),
               "For TCP to an endpoint."),
        Option("app-connect-timeout", SPAN, "300ms", "", Variable("WEFT_APP_CONNECT_TIMEOUT"),
               "For TCP to the pod's own application."),
        Option("request-timeout", DURATION, "0s", "", Variable("WEFT_REQUEST_TIMEOUT"),
               "For requests of routes without a timeout of their own; 0s: none."),
        Option("header-timeout", SPAN, "10s", "", Variable("WEFT_HEADER_TIMEOUT"),
               "From the first byte of an HTTP/1 head to its end."),
        Option("idle-timeout", DURATION, "1h", "", Variable("WEFT_IDLE_TIMEOUT"),
               "After so long without a byte a connection is closed; 0s: never."),
        Option("queue-timeout", DURATION, "3s", "", Variable("WEFT_QUEUE_TIMEOUT"),
               "How long requests wait for the next endpoint when the last one has just gone; 0s: not at all."),
        Option("queue-max", LIMIT, "1000", "", Variable("WEFT_QUEUE_MAX"),
               "How many requests do so, for each Service and worker; more are answered at once."),
        Option("max-connections", LIMIT, "10000", "", Variable("WEFT_MAX_CONNECTIONS"),
               "Connections that the proxy takes in at a time, from the application and for it; more are reset."),
        Option("max-buffered", SIZE, "256Mi", "", Variable("WEFT_MAX_BUFFERED"),
               "What each worker holds for slow readers, instead of its share of half the memory limit."),
        Option("shutdown-grace", DURATION, "30s", "global.proxy.shutdownGrace", Variable("WEFT_SHUTDOWN_GRACE"),
               "How long open requests may go on when the pod ends, within its terminationGracePeriodSeconds."),
        Option("admin-shutdown", one_of("false", "true"), "false", "", Variable("WEFT_ADMIN_SHUTDOWN"),
               "true: `POST /shutdown` on 4191 from the pod itself ends the proxy."),
        Option("proxy-image", IMAGE, "", "global.image.prefix, global.proxy.tag", Field("image"),
               "The proxy's image, instead of the chart's; its tag is the version that the pod tells."),
        Option("proxy-image-pull-policy", one_of("IfNotPresent", "Always", "Never"), "IfNotPresent",
               "global.image.pullPolicy", Field("imagePullPolicy"), "When the node pulls the proxy's image."),
        Option("inbound-port", PORT, "4143", "",
               Port(Variable("WEFT_INBOUND_LISTEN", "[::]:{}"), "--inbound-port", "weft-inbound"),
               "Where the proxy takes what comes in, if the application needs 4143 itself."),
        Option("outbound-port", PORT, "4140", "",
               Port(Variable("WEFT_OUTBOUND_LISTEN", "127.0.0.1:{},[::1]:{}"), "--outbound-port"),
               "Where the proxy takes what goes out, if the application needs 4140 itself."),
        Option("iptables-backend", one_of("nft", "legacy"), "nft", "", Argument("--backend"),
               "Which iptables redirects: legacy for nodes whose kernel has no nf_tables."),
        Option("debug-image", IMAGE, "", "", DebugContainer(),
               "Adds container weft-debug of this image, which must stay (a shell does) and may capture traffic."),
        Option("additional-env", VARIABLES, "", "", Variables(),
               "More environment variables of the proxy, none of WEFT_…: these are what options set."),
    )
}  # fmt: skip
"""In the order in which they take effect: what is added comes after what is set."""


def settings(layers: Iterable[Layer]) -> dict[str, Setting]:
    """Options that are set, by name in the table's order; raises OptionError that names each fault and its place."""
    found: dict[str, Setting] = {}
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
                found[name] = Setting(value, layer.place)
    if faults:
        raise OptionError("; ".join(faults))
    return {name: found[name] for name in OPTIONS if name in found}


def apply(sidecar: Sidecar, found: Mapping[str, Setting]) -> None:
    """Every option takes effect on the sidecar."""
    for name, setting in found.items():
        OPTIONS[name].effect.set(sidecar, setting.value)


def _read(annotation: str, text: str) -> tuple[str, str]:
    name = annotation.removeprefix(CONFIG_PREFIX)
    option = OPTIONS.get(name)
    if option is None:
        close = difflib.get_close_matches(name, OPTIONS, 1)
        raise ValueError("there is no such option" + (f"; did you mean {close[0]}?" if close else ""))
    if len(text) > MAX_VALUE:
        raise ValueError(f"a value of {len(text)} characters: {MAX_VALUE} are the most")
    return name, option.type.parse(text)
