"""What this process tells and to whom, for people who look for a fault: read-only JSON beside /metrics.

    GET /debug/endpoints/NAMESPACE/SERVICE/PORT    GET /debug/outbound/IP/PORT?client=NAMESPACE
    GET /debug/inbound/NAMESPACE/POD/PORT
      {"version": "9f", "kind": "endpoints", "state": {"exists": true, "endpoints": [{"ip": "10.0.0.1", …}]},
       "watchers": [{"namespace": "shop", "pod": "cart-1", "held_version": "9f…"}]}
    GET /debug/policy/NAMESPACE/SERVICE?client=NAMESPACE
      {"ports": [{"service": {"port": 80, …}, "routes": [{"name": "r/0", "origin": "HTTPRoute shop/r rules[0]", …}]}],
       "faults": […]}
    GET /debug/faults
      {"faults": [{"kind": "HTTPRoute", "namespace": "shop", "name": "r", "message": "Accepted is False: …"}]}
    GET /debug/streams
      {"streams": [{"namespace": "shop", "pod": "cart-1", "proxy_version": "0.1.0", "targets": 3, "waiting": 0,
                    "seconds": 12.5}]}

`kind` is `endpoints`, `to_service`, `to_pod`, `not_in_mesh` or `inbound`; `state` has the fields of that class in
`model.py`. A watcher whose `held_version` is not `version` has not taken the newest update yet. All this names
every pod and identity, so only callers on the pod's own loopback are answered, as `kubectl port-forward` is.
"""

import dataclasses
import enum
import ipaddress
import re
import time
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from weft_http.message import Refused, Request, Response
from weft_http.routes import Routes
from weft_runtime.admin import from_loopback

from weft_destination import encode, model
from weft_destination.hub import Hub
from weft_destination.stream import Stream

Json = dict[str, Any]


def inspected(routes: Routes, hub: Hub, streams: Collection[Stream]) -> Routes:
    """The routes with /debug."""

    async def endpoints(request: Request) -> Response:
        where = request.params
        return _json(described(model.EndpointsTarget(where["namespace"], where["name"], _port(where)), hub, streams))

    async def outbound(request: Request) -> Response:
        where = request.params
        target = model.OutboundTarget(_packed(where["ip"]), _port(where), request.query.get("client", ""))
        return _json(described(target, hub, streams))

    async def inbound(request: Request) -> Response:
        where = request.params
        return _json(described(model.InboundTarget(where["namespace"], where["pod"], _port(where)), hub, streams))

    async def policy(request: Request) -> Response:
        service = request.params["namespace"], request.params["name"]
        ports = hub.destinations(service, request.query.get("client", ""))
        return _json({"ports": plain(ports), "faults": plain(hub.faults.about(service))})

    async def faults(_: Request) -> Response:
        return _json({"faults": plain(hub.faults.all())})

    async def all_streams(_: Request) -> Response:
        now = time.monotonic()
        return _json({"streams": [_row(stream, now) for stream in streams]})

    routes.add("GET", "/debug/endpoints/{namespace}/{name}/{port}", from_loopback(endpoints))
    routes.add("GET", "/debug/outbound/{ip}/{port}", from_loopback(outbound))
    routes.add("GET", "/debug/inbound/{namespace}/{pod}/{port}", from_loopback(inbound))
    routes.add("GET", "/debug/policy/{namespace}/{name}", from_loopback(policy))
    routes.add("GET", "/debug/faults", from_loopback(faults))
    routes.add("GET", "/debug/streams", from_loopback(all_streams))
    return routes


def described(target: model.Target, hub: Hub, streams: Collection[Stream]) -> Json:
    """The answer that a proxy would get now, its version, and which version each of its watchers has."""
    answer = hub.answer(target)
    version, _ = encode.snapshot(target, answer)
    watchers = [
        {"namespace": stream.hello.namespace, "pod": stream.hello.pod, "held_version": held}
        for stream in streams
        if (held := stream.held(target)) is not None
    ]
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(answer).__name__).lower()
    return {"version": version, "kind": kind, "state": plain(answer), "watchers": watchers}


def plain(value: Any) -> Any:
    """A model value as JSON: addresses in words, enums by name."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.name.lower()
    return str(ipaddress.ip_address(value)) if isinstance(value, bytes) else value


def _row(stream: Stream, now: float) -> Json:
    return {
        "namespace": stream.hello.namespace,
        "pod": stream.hello.pod,
        "proxy_version": stream.hello.version,
        "targets": stream.targets,
        "waiting": stream.waiting,
        "seconds": round(now - stream.began, 1),
    }


def _json(body: Json) -> Response:
    return Response(msgspec.json.encode(body), content_type="application/json")


def _port(where: Mapping[str, str]) -> int:
    if re.fullmatch("[0-9]{1,5}", where["port"]) and 1 <= int(where["port"]) <= 65535:
        return int(where["port"])
    raise Refused(400, f"{where['port']} is no port\n")


def _packed(ip: str) -> bytes:
    try:
        return ipaddress.ip_address(ip).packed
    except ValueError:
        raise Refused(400, f"{ip} is no address\n") from None
