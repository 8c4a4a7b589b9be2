"""The newest facts of a cluster, and the answers that follow from them. Pure: the same facts give the same answers,
in whatever order they came."""

from collections.abc import Iterator

from weft_destination import model
from weft_destination.faults import Faults
from weft_destination.gateway.store import Gateway
from weft_destination.model import Dependency, Key, on_address, on_pod, on_policies, on_service, plain_ip
from weft_destination.opaque import OpaquePods, no_address
from weft_destination.policy.model import Namespace, Policy, RouteCalls, Service
from weft_destination.policy.state import Policies
from weft_destination.policy_reports import PolicyReports
from weft_destination.policy_routes import of_profile, of_rule, route_calls
from weft_destination.precedence import destination
from weft_destination.protocols import by_number
from weft_destination.reports import Reports
from weft_destination.tables import Groups, Table


class Index:
    """Tables, what leads from one to another, and what changed since `take_changed`.

    `default_access` is the cluster's: who may call where nobody says so. In `trust_domain` are the identities.
    """

    def __init__(self, default_access: str = "anyone", trust_domain: str = "cluster.local") -> None:
        self.services: Table[model.Service] = Table(self._service_changed)
        self.slices: Table[model.Slice] = Table(self._slice_changed)
        self.pods: Table[model.Pod] = Table(self._pod_changed)
        self.profiles: Table[model.Profile] = Table(self._profile_changed)
        self._opaque = OpaquePods(self.pods.rows, self._slices_of)
        self.gateway = Gateway(self.services.rows, self._routes_changed, self._opaque.why)
        self.policies: Table[Policy] = Table(self._policy_changed)
        self.namespaces: Table[Namespace] = Table(self._namespace_changed)
        self.access = Policies(self._service_access, self._route_calls, default_access, trust_domain)
        stated = PolicyReports(self.policies.rows, self.access, self.services.rows)
        self.reports = Reports(self.gateway, self.services.rows, self.profiles.rows, stated, self._opaque.why)
        self.faults = Faults(self.gateway, self.services.rows, self.profiles.rows, self._opaque.why)
        self._services_by_ip: Groups[bytes, Key] = Groups()
        self._pods_by_ip: Groups[bytes, Key] = Groups()
        self._slices_by_service: Groups[Key, Key] = Groups()
        self._slices_by_pod: Groups[Key, Key] = Groups()
        self._changed: set[Dependency] = set()
        self.faulty: dict[str, set[Key]] = {}
        """Objects that say nonsense, by kind."""

    def take_changed(self) -> set[Dependency]:
        """What answers must be asked for again since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def answer(self, target: model.Target) -> model.Answer:
        """What is true of a target now."""
        match target:
            case model.OutboundTarget(ip=ip, port=port, client=client):
                return self._outbound(plain_ip(ip), port, client)
            case model.EndpointsTarget():
                return self._endpoints(target)
            case model.InboundTarget(namespace=namespace, pod=pod, port=port):
                return self._inbound((namespace, pod), port)

    # Answers

    def _outbound(self, ip: bytes, number: int, client: str) -> model.Outbound:
        for key in sorted(self._services_by_ip[ip]):
            if port := self.services.rows[key].port(number):
                return self._to_service(key, port, client)
        owners = [self.pods.rows[key] for key in self._pods_by_ip[ip]]
        if not owners:
            return model.NotInMesh(by_number(number), self.access.egress(client))
        pod = max(owners, key=lambda pod: (pod.created, pod.key))
        return model.ToPod(_endpoint(ip, number, pod, ""), self._pod_protocol(pod, number))

    def _to_service(self, key: Key, port: model.ServicePort, client: str) -> model.ToService:
        service, target = self.services.rows[key], model.EndpointsTarget(*key, port.port)
        if no_address(service):  # Nobody dials it: its pods' requests are their own.
            return model.ToService(target, port.protocol, ())
        return destination(
            target,
            self._service_protocol(key, port),
            self.gateway.routes(key, port.port, client, service.settings),
            self.profiles.rows.get(key),
            service.settings,
        )

    def destinations(self, service: Key, client: str) -> tuple[model.ToService, ...]:
        """What becomes of requests to each port of a Service, sent by a namespace."""
        found = self.services.rows.get(service)
        return tuple(self._to_service(service, port, client) for port in found.ports) if found else ()

    def _service_protocol(self, key: Key, port: model.ServicePort) -> model.Protocol:
        """A port is opaque when any pod behind it says so: bytes carried unseen harm nobody."""
        return model.Protocol.OPAQUE if self._opaque.behind(key, port) else port.protocol

    def _endpoints(self, target: model.EndpointsTarget) -> model.Endpoints:
        key = (target.namespace, target.name)
        service = self.services.rows.get(key)
        if service is None:
            return model.Endpoints(exists=False)
        port = service.port(target.port)
        found: dict[tuple[bytes, int], model.Endpoint] = {}
        for slice_, number in self._slices_of(key, port.name) if port else ():
            for raw in slice_.endpoints:
                if endpoint := self._resolve(slice_, raw, number):
                    found.setdefault(endpoint.address, endpoint)
        return model.Endpoints.of(found.values())

    def _resolve(self, slice_: model.Slice, raw: model.SliceEndpoint, port: int) -> model.Endpoint | None:
        """An endpoint whose pod is unknown, or has another address by now, waits until both are known to agree:
        it must never be called in plain text because one watch is ahead of another."""
        if not raw.pod:
            return model.Endpoint(raw.ip, port, zone=raw.zone, namespace=slice_.key[0])
        pod = self.pods.rows.get((slice_.key[0], raw.pod))
        if pod is None or pod.terminating or raw.ip not in (*pod.ips, *pod.node_ips):
            return None
        return _endpoint(raw.ip, port, pod, raw.zone)

    def _slices_of(self, service: Key, port_name: str) -> Iterator[tuple[model.Slice, int]]:
        """The slices of a Service that have a port of this name, with its number there."""
        for key in sorted(self._slices_by_service[service]):
            slice_ = self.slices.rows[key]
            yield from ((slice_, port.port) for port in slice_.ports if port.name == port_name)

    def _inbound(self, key: Key, port: int) -> model.Inbound:
        """Declared HTTP is detected all the same: probes and other strangers may speak something else."""
        pod = self.pods.rows.get(key)
        opaque = pod is not None and self._pod_protocol(pod, port) == model.Protocol.OPAQUE
        access = self.access.access(key[0], pod.access, port) if pod and pod.access else None
        return model.Inbound(model.Protocol.OPAQUE if opaque else model.Protocol.DETECT, access)

    def _pod_protocol(self, pod: model.Pod, number: int) -> model.Protocol:
        """What the pod says, else what the Services say that it serves."""
        if pod.opaque and number in pod.opaque:
            return model.Protocol.OPAQUE
        slices = (self.slices.rows[key] for key in sorted(self._slices_by_pod[pod.key]))
        declared = (port.declared for slice_ in slices for port in slice_.ports if port.port == number)
        usual = by_number(number) if pod.opaque is None else model.Protocol.DETECT
        return next(filter(None, declared), usual)

    # Changes

    def _service_changed(self, before: model.Service | None, after: model.Service | None) -> None:
        if before:
            for ip in before.cluster_ips:
                self._services_by_ip.discard(ip, before.key)
            self._touch_service(before)
        if after:
            for ip in after.cluster_ips:
                self._services_by_ip.add(ip, after.key)
            self._touch_service(after)
        self.gateway.service_changed(before, after)
        self.reports.service_changed(before, after)
        if (one := after or before) and (before and before.access) != (after and after.access):
            self._touch_named(one.key)

    def _touch_service(self, service: model.Service) -> None:
        self._changed.add(on_service(service.key))
        self._changed.update(map(on_address, service.cluster_ips))

    def _touch_service_at(self, key: Key) -> None:
        if service := self.services.rows.get(key):
            self._touch_service(service)

    def _slice_changed(self, before: model.Slice | None, after: model.Slice | None) -> None:
        if before:
            self._unlink(before)
        if after:
            self._link(after)
        for slice_ in filter(None, (before, after)):
            self._touch_service_at(slice_.service)
            self._changed.update(on_address(endpoint.ip) for endpoint in slice_.endpoints)
            self._changed.update(map(on_pod, slice_.pods()))
            told = slice_.service in self.gateway or slice_.service in self.profiles.rows
            if told and self._opaque.any(slice_.pods()):
                self._restate(slice_.service)

    def _link(self, slice_: model.Slice) -> None:
        self._slices_by_service.add(slice_.service, slice_.key)
        for pod in slice_.pods():
            self._slices_by_pod.add(pod, slice_.key)

    def _unlink(self, slice_: model.Slice) -> None:
        self._slices_by_service.discard(slice_.service, slice_.key)
        for pod in slice_.pods():
            self._slices_by_pod.discard(pod, slice_.key)

    def _pod_changed(self, before: model.Pod | None, after: model.Pod | None) -> None:
        if one := after or before:
            self.access.pod_changed(one.key[0], before.access if before else None, after.access if after else None)
        if before:
            for ip in before.ips:
                self._pods_by_ip.discard(ip, before.key)
            self._touch_pod(before)
        if after:
            for ip in after.ips:
                self._pods_by_ip.add(ip, after.key)
            self._touch_pod(after)

    def _touch_pod(self, pod: model.Pod) -> None:
        self._changed.add(on_pod(pod.key))
        self._changed.update(map(on_address, pod.ips))
        for key in self._slices_by_pod[pod.key]:
            self._touch_service_at(self.slices.rows[key].service)
            if pod.opaque:
                self._restate(self.slices.rows[key].service)

    def _restate(self, service: Key) -> None:
        """Whether its requests are seen may have changed."""
        self.gateway.restate(service)
        self.reports.restate(service)

    def _profile_changed(self, before: model.Profile | None, after: model.Profile | None) -> None:
        for profile in filter(None, (before, after)):
            self._routes_changed(profile.key)

    def _routes_changed(self, service: Key) -> None:
        self._touch_service_at(service)
        self._touch_named(service)

    # Access

    def _service_access(self, key: Key) -> Service | None:
        service = self.services.rows.get(key)
        return service.access if service else None

    def _route_calls(self, key: Key, name: str) -> RouteCalls:
        profile = self.profiles.rows.get(key)
        routes = [of_profile(route) for route in profile.routes] if profile else []
        routes += [of_rule(route.name, rule) for route in self.gateway.attached(key) for rule in route.rules]
        return route_calls(key[1], name, routes)

    def _policy_changed(self, before: Policy | None, after: Policy | None) -> None:
        if after:
            self.access.put(after)
        elif before:
            self.access.remove(before.key)
        for policy in filter(None, (before, after)):
            self._changed.add(on_policies(policy.key[0]))

    def _namespace_changed(self, before: Namespace | None, after: Namespace | None) -> None:
        for namespace in filter(None, (before, after)):
            self.access.set_default(namespace.name, after.default if after else "")
            self._changed.add(on_policies(namespace.name))

    def _touch_named(self, service: Key) -> None:
        """A policy's target may name this Service, or a route of it."""
        if self.access.names(service):
            self.access.forget(service[0])
            self._changed.add(on_policies(service[0]))


def _endpoint(ip: bytes, port: int, pod: model.Pod, zone: str) -> model.Endpoint:
    return model.Endpoint(
        ip, port, pod.identity_at(port), zone, pod.key[0], pod.key[1], pod.workload_kind, pod.workload
    )
