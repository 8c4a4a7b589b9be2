"""Model values as discovery/v1 messages, encoded once for all who get them, and requests as model values."""

import hashlib
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias, cast

from google.protobuf.message import DecodeError
from weft_api.discovery.v1 import discovery_pb2 as pb

from weft_destination import model
from weft_destination.diff import Delta
from weft_destination.encode_route import pb_breaker, pb_budget, pb_route
from weft_destination.policy import wire

_VERSION_FIELD = bytes([pb.Update.VERSION_FIELD_NUMBER << 3 | 2])

HEARTBEAT_SECONDS = 15.0
HEARTBEAT = pb.Update(heartbeat=pb.Heartbeat(interval_ms=round(HEARTBEAT_SECONDS * 1000))).SerializeToString()
"""Proxies go elsewhere when none came for three intervals."""


MAX_NAME = 253
"""Characters of a name in Kubernetes; a version has fewer. What is longer would be kept as long as its stream lives."""


class MalformedError(Exception):
    """A request that is not one; the message tells the client what is wrong."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Who asks."""

    namespace: str
    pod: str
    version: str
    heartbeats: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """Tell a target's answer, now unless it is of the held version, and whenever it changes."""

    target: model.Target
    held_version: str


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Tell no more of a target."""

    target: model.Target


Request: TypeAlias = Hello | Watch | Unwatch


def decode(data: bytes, hello: Hello | None) -> Request:
    """A request; answers are those for the pod in `hello`. Raises MalformedError."""
    try:
        message = pb.Request.FromString(data)
    except DecodeError:
        raise MalformedError("not a weft.discovery.v1.Request") from None
    kind = message.WhichOneof("kind")
    if kind == "hello":
        if hello:
            raise MalformedError("a second Hello")
        of = message.hello
        return Hello(_shared(of.namespace), _name(of.pod), _shared(of.version), of.heartbeats)
    if not hello:
        raise MalformedError("the first message must be a Hello")
    if kind == "watch":
        return Watch(_target(message.watch.target, hello), _name(message.watch.held_version))
    if kind == "unwatch":
        return Unwatch(_target(message.unwatch, hello))
    raise MalformedError("a request of no known kind")


def _target(target: pb.Target, hello: Hello) -> model.Target:
    kind = target.WhichOneof("kind")
    if kind == "outbound":
        if len(target.outbound.ip) not in (4, 16):
            raise MalformedError(f"an address of {len(target.outbound.ip)} bytes")
        return model.OutboundTarget(target.outbound.ip, _port(target.outbound.port), hello.namespace)
    if kind == "endpoints":
        of = target.endpoints
        if not of.namespace or not of.name:
            raise MalformedError("endpoints of a service without namespace or name")
        return model.EndpointsTarget(_name(of.namespace), _name(of.name), _port(of.port))
    if kind == "inbound":
        return model.InboundTarget(hello.namespace, hello.pod, _port(target.inbound))
    raise MalformedError("a target of no known kind")


def _name(text: str) -> str:
    if len(text) > MAX_NAME:
        raise MalformedError(f"a name of {len(text)} characters: {MAX_NAME} are the most")
    return text


def _shared(text: str) -> str:
    """What thousands of proxies say alike is held once."""
    return sys.intern(_name(text))


def _port(number: int) -> int:
    if not 1 <= number <= 65535:
        raise MalformedError(f"port {number}")
    return number


def snapshot(target: model.Target, answer: model.Answer) -> tuple[str, bytes]:
    """The Update that tells a whole answer, and its version: a hash of what is told."""
    if isinstance(target, model.InboundTarget) and isinstance(answer, model.Inbound):
        return _inbound(target.port, answer)
    update = pb.Update(target=_pb_target(target))
    if isinstance(answer, model.Endpoints):
        update.endpoints.exists = answer.exists
        update.endpoints.endpoints.extend(map(_pb_endpoint, answer.endpoints))
    elif not isinstance(answer, model.Inbound):
        update.outbound.CopyFrom(_pb_outbound(answer))
    return _finished(update)


@lru_cache(maxsize=512)
def _inbound(port: int, answer: model.Inbound) -> tuple[str, bytes]:
    """The pods of a workload are told the same of a port: rules may be many, and are encoded once."""
    update = pb.Update(target=pb.Target(inbound=port))
    update.inbound.protocol = _pb_protocol(answer.protocol)
    if answer.access:
        wire.inbound(answer.access, update.inbound)
    return _finished(update)


def _finished(update: pb.Update) -> tuple[str, bytes]:
    body = update.SerializeToString(deterministic=True)
    version = hashlib.blake2b(body, digest_size=8).hexdigest()
    return version, _with_version(body, version)


def delta(target: model.Target, base_version: str, version: str, change: Delta) -> bytes:
    """The Update that turns the endpoints of one version into those of another."""
    update = pb.Update(target=_pb_target(target))
    update.endpoints_delta.base_version = base_version
    update.endpoints_delta.upserted.extend(map(_pb_endpoint, change.upserted))
    update.endpoints_delta.removed.extend(pb.SocketAddress(ip=ip, port=port) for ip, port in change.removed)
    return _with_version(update.SerializeToString(deterministic=True), version)


def _with_version(body: bytes, version: str) -> bytes:
    """The version is a hash of the body, so it joins after it: protobuf takes fields in any order."""
    text = version.encode()
    return body + _VERSION_FIELD + bytes([len(text)]) + text


def _pb_target(target: model.Target) -> pb.Target:
    match target:
        case model.OutboundTarget(ip=ip, port=port):
            return pb.Target(outbound=pb.SocketAddress(ip=ip, port=port))
        case model.EndpointsTarget():
            return pb.Target(endpoints=_pb_service_port(target))
        case model.InboundTarget(port=port):
            return pb.Target(inbound=port)


def _pb_service_port(target: model.EndpointsTarget) -> pb.ServicePort:
    return pb.ServicePort(namespace=target.namespace, name=target.name, port=target.port)


def _pb_protocol(protocol: model.Protocol) -> "pb.Protocol.ValueType":
    return cast("pb.Protocol.ValueType", protocol.value)


def _pb_outbound(answer: model.Outbound) -> pb.Outbound:
    match answer:
        case model.ToService():
            return pb.Outbound(service=_pb_service(answer), protocol=_pb_protocol(answer.protocol))
        case model.ToPod():
            return pb.Outbound(pod=_pb_endpoint(answer.endpoint), protocol=_pb_protocol(answer.protocol))
        case model.NotInMesh():
            egress = wire.egress(answer.egress) if answer.egress else None
            return pb.Outbound(not_in_mesh=pb.NotInMesh(egress=egress), protocol=_pb_protocol(answer.protocol))


def _pb_service(answer: model.ToService) -> pb.ServiceDestination:
    service = pb.ServiceDestination(
        service=_pb_service_port(answer.service),
        routes=map(pb_route, answer.routes),
        no_match_not_found=answer.no_match_not_found,
    )
    if budget := answer.retry_budget:
        service.retry_budget.CopyFrom(pb_budget(budget))
    if breaker := answer.breaker:
        service.breaker.CopyFrom(pb_breaker(breaker))
    return service


def _pb_endpoint(endpoint: model.Endpoint) -> pb.Endpoint:
    return pb.Endpoint(
        address=pb.SocketAddress(ip=endpoint.ip, port=endpoint.port),
        weight=1,
        identity=endpoint.identity,
        zone=endpoint.zone,
        namespace=endpoint.namespace,
        pod=endpoint.pod,
        workload_kind=endpoint.workload_kind,
        workload=endpoint.workload,
    )
