"""What policies look at of pods, Services and Namespaces. Equal for all pods of a template, and kept once for them."""

from collections.abc import Iterator
from functools import lru_cache
from sys import intern

from weft_kube import names, objects
from weft_kube.paths import plain_path

from weft_destination.policy.model import Call, Labels, Namespace, Path, Pod, Probe, Service

HEALTH = "/grpc.health.v1.Health/Check"
LONGEST = 64
"""Characters kept of what should be a default."""


def pod(obj: objects.Pod, workload: str, skipped: tuple[range, ...] = ()) -> Pod:
    """Of a pod, with or without a proxy; `skipped` are the ports that its annotation says."""
    meta, spec = obj.metadata, obj.spec
    containers = [*spec.containers, *(one for one in spec.init_containers if one.restart_policy == "Always")]
    meshed = names.PROXY_VERSION in meta.labels
    own = [one for one in containers if one.name != names.PROXY_CONTAINER]
    ports = tuple((port.name, port.container_port) for one in own for port in one.ports if port.protocol == "TCP")
    probes = tuple(dict.fromkeys(probe for one in own for probe in _probes(one)))
    past = bool(meta.annotations.get(names.SKIP_OUTBOUND_PORTS) or meta.annotations.get(names.SKIP_SUBNETS))
    return _shared(
        Pod(
            _labels(meta.labels),
            ports,
            probes,
            _own_default(meta),
            workload,
            spec.service_account_name,
            meshed,
            skipped if meshed else (),
            skips_out=past and meshed,
        )
    )


def _own_default(meta: objects.Meta) -> str:
    """The pod's own annotation, not the Namespace's that the injector copied: that may say something else by now."""
    option = names.DEFAULT_ACCESS.removeprefix(names.CONFIG_PREFIX)
    copied = f",{option}=" in f",{meta.annotations.get(names.OPTION_SOURCES, '')}"
    return "" if copied else _default(meta)


def _default(meta: objects.Meta) -> str:
    """Nonsense counts as none, and is kept to be told: its beginning is enough."""
    return meta.annotations.get(names.DEFAULT_ACCESS, "")[:LONGEST]


@lru_cache(maxsize=8192)
def _shared(pod: Pod) -> Pod:
    return pod


def _labels(labels: dict[str, str]) -> Labels:
    return frozenset((intern(name), intern(value)) for name, value in labels.items())


def _probes(container: objects.Container) -> Iterator[Probe]:
    """Probes and hooks. tcpSocket probes ask the proxy itself, and nobody can look into HTTPS."""
    hooks = container.lifecycle or objects.Lifecycle()
    probes = (container.startup_probe, container.liveness_probe, container.readiness_probe)
    for asked in filter(None, (*probes, hooks.post_start, hooks.pre_stop)):
        if asked.grpc:
            yield Probe(asked.grpc.port, Call("POST", Path.EXACT, HEALTH))
        http = asked.http_get
        if http and http.scheme in ("", "HTTP") and not http.host:
            port, path = _number(container, http.port), _asked(http.path)
            if port and path:
                yield Probe(port, Call("GET", Path.EXACT, path))


def _number(container: objects.Container, port: int | str) -> int | None:
    """A name is of the container's own port, as the kubelet takes it."""
    return port if isinstance(port, int) else next((p.container_port for p in container.ports if p.name == port), None)


def _asked(path: str) -> str | None:
    """The kubelet reads a path as a URL, and puts a slash before one that begins with none."""
    return plain_path("/" + path.partition("#")[0].partition("?")[0].removeprefix("/"))


def namespace(obj: objects.Namespace) -> Namespace:
    """Its default."""
    return Namespace(obj.metadata.name, _default(obj.metadata))


def service(obj: objects.Service) -> Service:
    """Its selector, and the TCP ports of the pods behind it."""
    ports = (port.target_port or port.port for port in obj.spec.ports if port.protocol == "TCP")
    return Service(tuple(sorted(_labels(obj.spec.selector))), tuple(dict.fromkeys(ports)))
