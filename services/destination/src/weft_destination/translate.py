"""Kubernetes' objects as model values: what matters to a proxy, and the rules that give a pod its identity.

Facts live long and say the same words again and again, so each word is kept once (`intern`): a namespace in all that is
in it, a pod's name in the pod and in every slice.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import replace
from sys import intern

from weft_kube import names, objects
from weft_kube.workloads import label_value, owners

from weft_destination import model
from weft_destination.model import Ports
from weft_destination.opaque import no_address, unseen
from weft_destination.policy import facts
from weft_destination.protocols import by_declaration, of_service_port
from weft_destination.route import NO_SETTINGS
from weft_destination.settings import read_settings

NOT_REDIRECTED = (range(names.PORT_TAP, names.PORT_TAP + 1), range(names.PORT_ADMIN, names.PORT_ADMIN + 1))
ONLY_NOT_REDIRECTED = Ports(NOT_REDIRECTED)
ENDED = ("Succeeded", "Failed")


def packed(ip: str) -> bytes:
    """4 or 16 bytes; empty for what is no address (headless Services have "None")."""
    try:
        return ipaddress.ip_address(ip).packed
    except ValueError:
        return b""


def _packed_all(ips: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(filter(None, map(packed, ips)))


def _annotated_ports(meta: objects.Meta, name: str) -> Ports | None:
    """The ports of an annotation; None when it is absent or nonsense, which admission told its author."""
    text = meta.annotations.get(name)
    if text is None:
        return None
    try:
        return Ports(tuple(names.parse_ports(text)))
    except ValueError:
        return None


def nonsense(meta: objects.Meta) -> bool:
    """Does a pod's annotation say what counts as not said?"""
    ports = (names.OPAQUE_PORTS, names.SKIP_INBOUND_PORTS)
    return any(name in meta.annotations and _annotated_ports(meta, name) is None for name in ports)


def service(obj: objects.Service) -> model.Service:
    """A Service's TCP ports and addresses."""
    opaque = _annotated_ports(obj.metadata, names.OPAQUE_PORTS)
    ports = (_service_port(port, opaque) for port in obj.spec.ports if port.protocol == "TCP")
    settings, faults = read_settings(obj.metadata.annotations)
    found = model.Service(
        _key(obj),
        _packed_all(obj.spec.cluster_ips),
        tuple(ports),
        access=facts.service(obj),
        external=obj.spec.type == "ExternalName",
        settings=settings,
    )
    faults = (*faults, *_in_vain(found, opaque))
    return replace(found, faults=faults, uid=obj.metadata.uid) if faults else found


def _in_vain(service: model.Service, opaque: Ports | None) -> Iterator[str]:
    """Annotations that are sound, of a Service to which they mean nothing."""
    if service.settings != NO_SETTINGS and (why := unseen(service)):
        yield f"annotations about requests have no effect: {why}"
    if opaque is not None and (why := no_address(service)):
        yield f"annotation {names.OPAQUE_PORTS} has no effect: {why}; give it to the pods"


def _service_port(port: objects.ServicePort, opaque: Ports | None) -> model.ServicePort:
    numbers = (port.port, port.target_port) if isinstance(port.target_port, int) else (port.port,)
    return model.ServicePort(
        port.port, intern(port.name), of_service_port(port.app_protocol, port.name, numbers, opaque)
    )


def endpoint_slice(obj: objects.EndpointSlice) -> model.Slice:
    """A slice's endpoints that take traffic: ready (which publishNotReadyAddresses makes all), not terminating."""
    ports = tuple(_slice_port(port) for port in obj.ports or () if port.port and port.protocol == "TCP")
    by_address = obj.address_type in ("IPv4", "IPv6")
    ready = [e for e in obj.endpoints or () if by_address and _is_ready(e.conditions)]
    endpoints = tuple(
        model.SliceEndpoint(ip, intern(_pod_name(endpoint)), intern(endpoint.zone))
        for endpoint in ready
        for ip in _packed_all(endpoint.addresses)
    )
    namespace, name = obj.service
    return model.Slice(_key(obj), (intern(namespace), intern(name)), ports, endpoints)


def _key(obj: objects.Object) -> model.Key:
    namespace, name = obj.key
    return intern(namespace), intern(name)


def _is_ready(conditions: objects.EndpointConditions) -> bool:
    return conditions.ready is not False and not conditions.terminating


def _pod_name(endpoint: objects.SliceEndpoint) -> str:
    ref = endpoint.target_ref
    return ref.name if ref and ref.kind == "Pod" else ""


def _slice_port(port: objects.SlicePort) -> model.SlicePort:
    name, number = port.name or "", port.port or 0
    return model.SlicePort(intern(name), number, by_declaration(port.app_protocol or "", name))


def pod(obj: objects.Pod, trust_domain: str) -> model.Pod:
    """A pod; its identity is that of its service account if the injector marked it, and on intercepted ports only."""
    meta, spec = obj.metadata, obj.spec
    meshed = names.PROXY_VERSION in meta.labels
    skipped = _annotated_ports(meta, names.SKIP_INBOUND_PORTS)
    identity = names.spiffe_id(trust_domain, meta.namespace, spec.service_account_name) if meshed else ""
    ips = _packed_all(ip.ip for ip in obj.status.pod_ips) if obj.status.phase not in ENDED else ()
    kind, workload = _workload(meta)
    return model.Pod(
        _key(obj),
        () if spec.host_network else ips,
        meta.creation_timestamp or "",
        intern(identity),
        Ports((*NOT_REDIRECTED, *skipped.ranges)) if skipped else ONLY_NOT_REDIRECTED,
        _annotated_ports(meta, names.OPAQUE_PORTS),
        intern(kind),
        intern(workload),
        node_ips=ips if spec.host_network else (),
        terminating=meta.deletion_timestamp is not None,
        access=facts.pod(obj, f"{kind}/{workload}", skipped.ranges if skipped else ())
        if obj.status.phase not in ENDED
        else None,
    )


def _workload(meta: objects.Meta) -> tuple[str, str]:
    """By the injector's labels; else the outermost owner, as far as the pod alone tells it, named as a label would."""
    if names.WORKLOAD in meta.labels:
        return meta.labels.get(names.WORKLOAD_KIND, ""), meta.labels[names.WORKLOAD]
    kind, name = [("pod", meta.name), *owners(meta)][-1]
    return kind, label_value(name)
