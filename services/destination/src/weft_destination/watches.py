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
from weft_destination.profile import read_profile

log = structlog.get_logger()

O = TypeVar("O", bound=objects.Object)  # noqa: E741
F = TypeVar("F", bound=index.Fact)

SERVICES = Resource("/api/v1/services", objects.Service)
SLICES = Resource("/apis/discovery.k8s.io/v1/endpointslices", objects.EndpointSlice)
PODS = Resource("/api/v1/pods", objects.Pod)
PROFILES = Resource("/apis/weft.dev/v1alpha1/serviceprofiles", objects.ServiceProfile)


class Feed(Generic[O, F]):
    """Passes the three verbs on to a table of the index, and says that something may have changed."""

    def __init__(self, translate: Callable[[O], F], table: index.Table[F], changed: Callable[[], None]) -> None:
        self._translate = translate
        self._table = table
        self._changed = changed

    def apply(self, obj: O) -> None:
        """An object is new or changed."""
        self._table.apply(self._translate(obj))
        self._changed()

    def delete(self, key: tuple[str, str]) -> None:
        """The object is gone."""
        self._table.delete(key)
        self._changed()

    def reset(self, objects: Sequence[O]) -> None:
        """These are all."""
        self._table.reset(map(self._translate, objects))
        self._changed()


class Profiles(Feed[ServiceProfile, model.Profile]):
    """A feed that tells each profile's faults once, and again when they change or the profile comes back."""

    def __init__(self, table: index.Table[model.Profile], changed: Callable[[], None]) -> None:
        super().__init__(self._read, table, changed)
        self._told: dict[model.Key, tuple[str, ...]] = {}

    def delete(self, key: tuple[str, str]) -> None:
        """The profile is gone."""
        self._told.pop(key, None)
        super().delete(key)

    def reset(self, objects: Sequence[ServiceProfile]) -> None:
        """These are all."""
        left = {obj.key for obj in objects}
        self._told = {key: faults for key, faults in self._told.items() if key in left}
        super().reset(objects)

    def _read(self, obj: ServiceProfile) -> model.Profile:
        profile, faults = read_profile(obj.key, obj.spec)
        if faults and faults != self._told.get(obj.key):
            log.warning("profile has faults", profile="/".join(obj.key), faults=faults)
        self._told[obj.key] = faults
        return profile


def reflectors(
    api: KubeApi, into: index.Index, changed: Callable[[], None], trust_domain: str
) -> dict[str, Reflector[Any]]:
    """All watches of this service, by kind; run each."""
    pod = partial(translate.pod, trust_domain=trust_domain)
    return {
        "services": _reflector(api, "services", SERVICES, Feed(translate.service, into.services, changed)),
        "slices": _reflector(api, "slices", SLICES, Feed(translate.endpoint_slice, into.slices, changed)),
        "pods": _reflector(api, "pods", PODS, Feed(pod, into.pods, changed)),
        "profiles": _reflector(api, "profiles", PROFILES, Profiles(into.profiles, changed)),
    }


def _reflector(api: KubeApi, kind: str, resource: Resource[O], feed: Feed[O, Any]) -> Reflector[O]:
    return Reflector(api, resource, feed, on_error=lambda e: log.warning("watch failed", kind=kind, error=str(e)))
