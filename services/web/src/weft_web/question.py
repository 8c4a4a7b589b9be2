"""What a request asks, parsed from its query parameters. Pure; each fault names its parameter."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from weft_kube.workloads import Kind, parse_kind

from weft_web.faults import bad_parameter
from weft_web.selector import Selector, parse_selector

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_WINDOW = re.compile(r"(\d{1,6})([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}
MIN_WINDOW, MAX_WINDOW = 15, 6 * 3600
ALL = "*"
SERVICE_ACCOUNT = Kind("serviceaccount", "serviceaccounts", "sa")
"""Not a kind of libs: it has traffic, by the pods that run under it, but nothing else asks for it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side of the traffic asked for; empty: any."""

    namespace: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Question:
    """Which objects, over which time, seen with which peer. An empty namespace or name is any."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    window: int = 60
    to: Peer | None = None
    from_: Peer | None = None
    of: Peer | None = None
    """Only pods that belong to this object."""
    selector: Selector = ()


PARAMETERS = {
    "kind": "deployment (default), statefulset, daemonset, replicaset, job, cronjob, pod, service or namespace; "
    "`stat` takes several, separated by commas, and serviceaccount",
    "namespace": "one namespace, or * for all (default)",
    "name": "one object",
    "window": "time looked at, 15s to 6h (default 60s)",
    "to": "only requests to KIND/NAME, as these objects' own proxies saw them",
    "to_namespace": "namespace of `to` (default: `namespace`)",
    "from": "only requests from KIND/NAME, as its proxies saw them",
    "from_namespace": "namespace of `from` (default: `namespace`)",
    "of": "with kind=pod: only the pods of KIND/NAME",
    "selector": "label selector of the objects, as kubectl's -l",
}


def parse(query: Mapping[str, str], default_kind: str = "deployment") -> Question:
    """The question; Fault when a parameter is unknown or not understood."""
    for name in query:
        if name not in PARAMETERS and name != "view":
            raise bad_parameter(name, "is not known", f"known are {', '.join(PARAMETERS)}")
    kind = _kind("kind", query.get("kind", default_kind))
    namespace = _namespace("namespace", query.get("namespace", ALL))
    to, from_ = _peer(query, "to", namespace), _peer(query, "from", namespace)
    if to and from_:
        raise bad_parameter("from", "goes without `to`", "ask once with each")
    if kind.name == "service" and to:
        raise bad_parameter("to", "a Service sends no requests", "ask for the workloads behind it, with `to`")
    if from_ and kind.name not in CLIENT_SIDE:
        raise bad_parameter(
            "from", f"clients do not record to which {kind.name} they sent", f"use kind={', '.join(CLIENT_SIDE)}"
        )
    name = name_of("name", query.get("name", ""))
    return Question(kind, namespace, name, window(query), to, from_, _owner(query, kind, namespace), _selector(query))


CLIENT_SIDE = ("deployment", "statefulset", "daemonset", "service", "namespace")
"""Kinds that the labels of client-side metrics tell apart."""


def window(query: Mapping[str, str]) -> int:
    """The parameter `window` in seconds."""
    match = _WINDOW.fullmatch(query.get("window", "60s"))
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not MIN_WINDOW <= seconds <= MAX_WINDOW:
        raise bad_parameter("window", "is not a time from 15s to 6h", "for example 60s, 5m, 1h")
    return seconds


def name_of(parameter: str, text: str) -> str:
    """A Kubernetes name, or nothing."""
    if text and not _NAME.fullmatch(text):
        raise bad_parameter(parameter, f"{text!r} is not a Kubernetes name")
    return text


def _namespace(parameter: str, text: str) -> str:
    return "" if text == ALL else name_of(parameter, text)


def _kind(parameter: str, text: str) -> Kind:
    if text.lower() in (SERVICE_ACCOUNT.name, SERVICE_ACCOUNT.plural, SERVICE_ACCOUNT.short):
        return SERVICE_ACCOUNT
    try:
        return parse_kind(text)
    except ValueError as error:
        raise bad_parameter(parameter, str(error)) from None


def _peer(query: Mapping[str, str], side: str, namespace: str) -> Peer | None:
    text, space = query.get(side, ""), f"{side}_namespace"
    if not text and space not in query:
        return None
    namespace = _namespace(space, query.get(space, namespace or ALL))
    if not text:
        return Peer(namespace, "", "")
    kind, _, name = text.partition("/")
    if not name:
        raise bad_parameter(side, f"{text!r} is not KIND/NAME", f"for example {side}=deployment/web")
    peer = _kind(side, kind)
    if peer.name not in CLIENT_SIDE and (side == "to" or peer not in (parse_kind("pod"), SERVICE_ACCOUNT)):
        raise bad_parameter(side, f"clients do not record which {peer.name}", f"use {', '.join(CLIENT_SIDE)}")
    if side == "from" and peer.name == "service":
        raise bad_parameter(side, "a Service sends no requests", "name the workload behind it")
    if peer.name == "namespace":
        namespace = ""
    return Peer(namespace, peer.name, name_of(side, name))


def of_kinds(question: Question, kinds: Iterable[str]) -> list[Question]:
    """The same question for several kinds."""
    return [replace(question, kind=parse_kind(kind)) for kind in kinds]


def _owner(query: Mapping[str, str], kind: Kind, namespace: str) -> Peer | None:
    text = query.get("of", "")
    if not text:
        return None
    word, _, name = text.partition("/")
    owner = _kind("of", word)
    if not name or owner.name in ("pod", "service"):
        raise bad_parameter("of", f"{text!r} is not KIND/NAME of an owner of pods", "for example of=deployment/web")
    if kind.name != "pod" or not namespace:
        raise bad_parameter("of", "goes with kind=pod and one namespace")
    return Peer(namespace, owner.name, name_of("of", name))


def _selector(query: Mapping[str, str]) -> Selector:
    try:
        return parse_selector(query.get("selector", ""))
    except ValueError as error:
        raise bad_parameter("selector", str(error), "for example app=web,tier!=cache") from None
