"""Parts of an AccessPolicy: who calls, what is called, what lies outside the mesh. Pure."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from weft_kube.names import PORT_ADMIN, PORT_TAP
from weft_kube.paths import PATH_MAX, path_regex, plain_path

from weft_sp_validator.profile import METHODS
from weft_sp_validator.rules import Fault, Rule, boolean, choice, each, kind, record, shown, text

MAX_ITEMS = 200
MAX_PORTS = 64
NAME_MAX = 253

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_IDENTITY = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+")
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_GRPC_SERVICE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_GRPC_METHOD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_HOST = re.compile(r"(\*\.)?([a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?")


def matching(pattern: re.Pattern[str], what: str, longest: int = NAME_MAX) -> Rule:
    """A text of a form that has a name."""

    def check(path: str, value: Any) -> Iterator[Fault]:
        faults = list(text(longest)(path, value))
        yield from faults
        if not faults and not pattern.fullmatch(value):
            hint = value.strip().lower()
            meant = f"; did you mean {shown(hint)}?" if hint != value and pattern.fullmatch(hint) else ""
            yield Fault(path, f"{shown(value)} is not {what}{meant}")

    return check


NAMESPACE = matching(_LABEL, "the name of a namespace", 63)
SERVICE = matching(_LABEL, "the name of a Service", 63)


def _true(path: str, value: Any) -> Iterator[Fault]:
    yield from boolean(path, value)
    if value is False:
        yield Fault(path, "can only be true; leave out who is not meant")


def _identity(path: str, value: Any) -> Iterator[Fault]:
    faults = list(text(2048)(path, value))
    yield from faults
    if faults or _IDENTITY.fullmatch(value):
        return
    missing = f"spiffe://{value.lstrip('/')}"
    meant = f"; did you mean {shown(missing)}?" if _IDENTITY.fullmatch(missing) else ""
    yield Fault(path, f"{shown(value)} is not a SPIFFE ID like spiffe://cluster.local/ns/shop/sa/cart{meant}")


def cidr(path: str, value: Any) -> Iterator[Fault]:
    """A network, its address without bits of hosts."""
    if not isinstance(value, str):
        yield Fault(path, f"must be a text, not {kind(value)}")
        return
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        yield Fault(path, f"{shown(value)} is not a network like 10.0.0.0/8 or fd00::/8")
        return
    if "/" in value and str(network) != value.lower() and ipaddress.ip_interface(value).ip != network.network_address:
        yield Fault(path, f"{shown(value)} has bits beyond its prefix; did you mean {network}?")


_CLIENT = record(
    {
        "serviceAccount": record(
            {"name": matching(_NAME, "the name of a ServiceAccount"), "namespace": NAMESPACE}, required=["name"]
        ),
        "namespace": NAMESPACE,
        "identity": _identity,
        "cidr": cidr,
        "authenticated": _true,
        "anyone": _true,
    }
)


def _client(path: str, value: Any) -> Iterator[Fault]:
    yield from _CLIENT(path, value)
    given = [name for name, one in value.items() if one is not None] if isinstance(value, dict) else [""]
    if len(given) != 1:
        yield Fault(
            path, f"says who in {len(given)} ways; each item says it in one: {', '.join(given) or 'anyone: true'}"
        )


def clients(path: str, value: Any) -> Iterator[Fault]:
    """Who calls."""
    yield from each(_client, MAX_ITEMS)(path, value)
    if value == []:
        yield Fault(path, "is empty; for everybody say anyone: true")


def _path(path: str, value: Any) -> Iterator[Fault]:
    faults = list(text(PATH_MAX)(path, value))
    yield from faults or _spelling(path, value)
    if not faults and ("{" in value or "}" in value):
        try:
            path_regex(value)
        except ValueError as error:
            yield Fault(path, str(error))


def _prefix(path: str, value: Any) -> Iterator[Fault]:
    faults = list(text(PATH_MAX)(path, value))
    yield from faults or _spelling(path, value)
    if not faults and value != "/" and value.endswith("/"):
        yield Fault(path, f"ends in a slash; {shown(value.rstrip('/'))} is the path and all below it")
    if not faults and "{" in value:
        yield Fault(path, "takes no parameters; they are for paths")


def _spelling(path: str, value: str) -> Iterator[Fault]:
    if not value.startswith("/"):
        yield Fault(path, f'must begin with "/", like {shown("/" + value)}')
    elif "?" in value:
        yield Fault(path, f"is compared without query; did you mean {shown(value.partition('?')[0])}?")
    elif value.endswith(("*", "/...")):
        yield Fault(path, f"is compared exactly; did you mean pathPrefixes: [{value.rstrip('*.').rstrip('/') or '/'}]?")
    elif plain_path(value) is None:
        yield Fault(path, f"{shown(value)} could be read in two ways, and no request with such a path is ever allowed")


_GRPC = record(
    {
        "service": matching(_GRPC_SERVICE, "a gRPC service like teahouse.v1.Menu", 256),
        "method": matching(_GRPC_METHOD, "a gRPC method like List", 128),
    },
    required=["service"],
)
_CALL = record(
    {
        "methods": each(choice(METHODS), 16),
        "paths": each(_path, 100),
        "pathPrefixes": each(_prefix, 100),
        "grpc": each(_GRPC, 100),
    }
)


def _call(path: str, value: Any) -> Iterator[Fault]:
    yield from _CALL(path, value)
    if not isinstance(value, dict):
        return
    given = {name for name, one in value.items() if one}
    if not given:
        yield Fault(path, "selects nothing; leave out `to` for every request")
    if "grpc" in given and len(given) > 1:
        yield Fault(path, "has grpc beside methods or paths; make it two items")


def calls(path: str, value: Any) -> Iterator[Fault]:
    """What is called."""
    yield from each(_call, 100)(path, value)
    if value == []:
        yield Fault(path, "is empty; leave it out for every request")


def port(path: str, value: Any) -> Iterator[Fault]:
    """A container's port, by number or name."""
    if isinstance(value, str) and value.isdecimal():
        yield Fault(path, f"{shown(value)} is a text; did you mean {value} without quotes?")
    elif isinstance(value, str):
        yield from matching(_PORT_NAME, "the name of a container's port", 15)(path, value)
    else:
        yield from number_of_port(path, value)
        if value in (PORT_TAP, PORT_ADMIN):
            yield Fault(path, f"{value} is the proxy's own: no policy is about it")


def number_of_port(path: str, value: Any) -> Iterator[Fault]:
    """1-65535."""
    if isinstance(value, bool) or not isinstance(value, int):
        yield Fault(path, f"must be a port, not {kind(value)}")
    elif not 1 <= value <= 65535:
        yield Fault(path, f"must be between 1 and 65535, not {value}")


def _host(path: str, value: Any) -> Iterator[Fault]:
    bare = re.sub(r"^[a-z]+://|[:/].*$", "", value) if isinstance(value, str) else ""
    if bare and bare != value and _HOST.fullmatch(bare.lower()):
        yield Fault(path, f"{shown(value)} is not a host alone; did you mean {shown(bare.lower())}?")
    else:
        yield from matching(_HOST, "a host like api.example.com or *.example.com")(path, value)


_OUTSIDE = record({"host": _host, "cidr": cidr, "ports": each(number_of_port, MAX_PORTS)})


def outside(path: str, value: Any) -> Iterator[Fault]:
    """What lies outside the mesh: a host, or a network and its ports."""
    yield from _OUTSIDE(path, value)
    if not isinstance(value, dict):
        return
    if (value.get("host") is None) == (value.get("cidr") is None):
        yield Fault(path, "needs a host or a cidr, and only one of them")
    if value.get("host") is not None and value.get("ports"):
        yield Fault(f"{path}.ports", "are for a cidr; a host is allowed at every port")
