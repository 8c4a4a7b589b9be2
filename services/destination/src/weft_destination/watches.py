"""Kubernetes into the index: one reflector for each kind, translating on the way."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import structlog
from weft_kube import objects
from weft_kube.api import KubeApi
from weft_kube.objects import ServiceProfile
from weft_kube.watch import Reflector, Resource

from weft_destination import index, model, translate
from weft_destination.gateway import read
from weft_destination.policy import facts
from weft_destination.policy.model import Namespace, Policy
from weft_destination.policy.read import read_policy
from weft_destination.policy.state import CHOICES
from weft_destination.profile import read_profile
from weft_destination.reports import POLICY, Reports, Seen, Subject
from weft_destination.tables import Fact, Table

log = structlog.get_logger()

O = TypeVar("O", bound=objects.Object)  # noqa: E741
F = TypeVar("F", bound=Fact)

SERVICES = Resource("/api/v1/services", objects.Service)
SLICES = Resource("/apis/discovery.k8s.io/v1/endpointslices", objects.EndpointSlice)
PODS = Resource("/api/v1/pods", objects.Pod)
NAMESPACES = Resource("/api/v1/namespaces", objects.Namespace)
POLICIES = Resource("/apis/weft.dev/v1alpha1/accesspolicies", objects.AccessPolicy)
GATEWAY = "/apis/gateway.networking.k8s.io"
HTTP_ROUTES = Resource(f"{GATEWAY}/v1/httproutes", objects.GatewayRoute)
GRPC_ROUTES = Resource(f"{GATEWAY}/v1/grpcroutes", objects.GatewayRoute)
GRANTS = Resource(f"{GATEWAY}/v1beta1/referencegrants", objects.ReferenceGrant)
PROFILES = Resource("/apis/weft.dev/v1alpha1/serviceprofiles", objects.ServiceProfile)


class Feed(Generic[F]):
    """Passes the three verbs on to a table of the index, and says that something may have changed."""

    def __init__(self, table: Table[F], changed: Callable[[], None]) -> None:
        self.faulty: set[model.Key] = set()
        """Of the objects that say nonsense."""
        self._table = table
        self._changed = changed

    def judging(self, translate: Callable[[O], F], faulty: Callable[[O, F], object]) -> Callable[[O], F]:
        """What `translate` makes of an object, which is noted when it is `faulty`."""

        def read(obj: O) -> F:
            fact = translate(obj)
            (self.faulty.add if faulty(obj, fact) else self.faulty.discard)(fact.key)
            return fact

        return read

    def apply(self, fact: F) -> None:
        """A fact is new or changed."""
        self._table.apply(fact)
        self._changed()

    def delete(self, key: tuple[str, str]) -> None:
        """The fact is gone."""
        self.faulty.discard(key)
        self._table.delete(key)
        self._changed()

    def reset(self, facts: Sequence[F]) -> None:
        """These are all."""
        if self.faulty:
            self.faulty &= {fact.key for fact in facts}
        self._table.reset(facts)
        self._changed()


class Reported(Feed[F]):
    """A feed of objects with a status, which is noted too."""

    def __init__(self, table: Table[F], changed: Callable[[], None], kind: str, reports: Reports) -> None:
        super().__init__(table, changed)
        self._kind = kind
        self._reports = reports

    def delete(self, key: tuple[str, str]) -> None:
        """The object is gone."""
        self._reports.gone(Subject(self._kind, key))
        super().delete(key)

    def reset(self, facts: Sequence[F]) -> None:
        """These are all."""
        self._reports.keep(self._kind, {Subject(self._kind, fact.key) for fact in facts})
        super().reset(facts)

    def noting(self, translate: Callable[[O], F]) -> Callable[[O], F]:
        """What `translate` makes of an object, its status noted."""

        def read(obj: Any) -> F:
            meta = obj.metadata
            self._reports.note(Subject(self._kind, obj.key), Seen(meta.resource_version, meta.generation, obj.status))
            return translate(obj)

        return read


class Profiles(Reported[model.Profile]):
    """A feed that tells each profile's faults once, and again when they change or the profile comes back."""

    def __init__(self, table: Table[model.Profile], changed: Callable[[], None], reports: Reports) -> None:
        super().__init__(table, changed, "ServiceProfile", reports)
        self._told: dict[model.Key, tuple[str, ...]] = {}

    def delete(self, key: tuple[str, str]) -> None:
        """The profile is gone."""
        self._told.pop(key, None)
        super().delete(key)

    def reset(self, facts: Sequence[model.Profile]) -> None:
        """These are all."""
        left = {fact.key for fact in facts}
        self._told = {key: faults for key, faults in self._told.items() if key in left}
        super().reset(facts)

    def read(self, obj: ServiceProfile) -> model.Profile:
        """The sound parts of a profile."""
        profile = read_profile(obj.key, obj.spec)
        if profile.faults and profile.faults != self._told.get(obj.key):
            log.warning("profile has faults", profile="/".join(obj.key), faults=profile.faults)
        self._told[obj.key] = profile.faults
        return profile


def namespace(obj: objects.Namespace) -> Namespace:
    """A Namespace's default; the injector refuses its pods while it says nonsense, and until then it says nothing."""
    found = facts.namespace(obj)
    if not _chosen(found.default):
        log.warning("no default of who may call", namespace=found.name, value=found.default, known=list(CHOICES))
    return found


def policy(obj: objects.AccessPolicy, trust_domain: str) -> Policy:
    """A policy; status tells its faults."""
    found = read_policy(obj.key, obj.spec, trust_domain)
    for fault in found.faults:
        log.warning("policy is not in force", policy=found.name, fault=fault)
    return found


def reflectors(
    api: KubeApi, into: index.Index, changed: Callable[[], None], trust_domain: str
) -> dict[str, Reflector[Any]]:
    """All watches of this service, by kind; run each."""
    profiles = Profiles(into.profiles, changed, into.reports)
    http = Reported(into.gateway.http_routes, changed, "HTTPRoute", into.reports)
    grpc = Reported(into.gateway.grpc_routes, changed, "GRPCRoute", into.reports)
    access = Reported(into.policies, changed, POLICY, into.reports)
    services, pods, namespaces = (Feed[Any](each, changed) for each in (into.services, into.pods, into.namespaces))
    read_service = services.judging(translate.service, _has_faults)
    read_pod = pods.judging(partial(translate.pod, trust_domain=trust_domain), _says_nonsense)
    read_profile = profiles.judging(profiles.noting(profiles.read), _has_faults)
    read_namespace = namespaces.judging(namespace, _no_choice)
    read_policy = access.judging(access.noting(partial(policy, trust_domain=trust_domain)), _has_faults)
    read_http = http.judging(http.noting(read.http_route), _has_faults)
    read_grpc = grpc.judging(grpc.noting(read.grpc_route), _has_faults)
    into.faulty |= {
        "services": services.faulty,
        "pods": pods.faulty,
        "profiles": profiles.faulty,
        "namespaces": namespaces.faulty,
        "policies": access.faulty,
        "httproutes": http.faulty,
        "grpcroutes": grpc.faulty,
    }
    return {
        "services": _reflector(api, "services", SERVICES, read_service, services),
        "slices": _reflector(api, "slices", SLICES, translate.endpoint_slice, Feed(into.slices, changed)),
        "pods": _reflector(api, "pods", PODS, read_pod, pods),
        "profiles": _reflector(api, "profiles", PROFILES, read_profile, profiles),
        "namespaces": _reflector(api, "namespaces", NAMESPACES, read_namespace, namespaces),
        "policies": _reflector(api, "policies", POLICIES, read_policy, access, optional=True),
        "httproutes": _reflector(api, "httproutes", HTTP_ROUTES, read_http, http, optional=True),
        "grpcroutes": _reflector(api, "grpcroutes", GRPC_ROUTES, read_grpc, grpc, optional=True),
        "referencegrants": _reflector(
            api, "referencegrants", GRANTS, read.grants, Feed(into.gateway.grants, changed), optional=True
        ),
    }


def _has_faults(_: Any, fact: Any) -> bool:
    return bool(fact.faults)


def _says_nonsense(obj: objects.Pod, fact: model.Pod) -> bool:
    default = fact.access.default if fact.access else ""
    return translate.nonsense(obj.metadata) or not _chosen(default)


def _no_choice(_: objects.Namespace, fact: Namespace) -> bool:
    return not _chosen(fact.default)


def _chosen(default: str) -> bool:
    return not default or default in CHOICES


def _reflector(
    api: KubeApi,
    kind: str,
    resource: Resource[O],
    translate: Callable[[O], F],
    feed: Feed[F],
    *,
    optional: bool = False,
) -> Reflector[F]:
    def failed(error: Exception) -> None:
        log.warning("watch failed", kind=kind, error=str(error))

    return Reflector(api, resource, feed, translate=translate, optional=optional, on_error=failed)
