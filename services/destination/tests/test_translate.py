"""What Kubernetes' objects mean to the mesh."""

from typing import Any

import msgspec
import pytest
from weft_destination import model, translate
from weft_destination.model import Protocol
from weft_destination.protocols import by_declaration, of_service_port
from weft_kube import objects
from weft_testkit import objects as make

MESHED = {"weft.dev/proxy-version": "0.1.0"}


def pod(**facts: Any) -> model.Pod:
    """The pod web-1 in ns as the index will know it."""
    raw = make.pod("ns", "web-1", "10.0.0.1", service_account="web", **facts)
    return translate.pod(msgspec.convert(raw, objects.Pod), "cluster.local")


def test_the_injectors_label_gives_identity() -> None:
    """A pod is meshed if the injector says so, never by looking at its containers."""
    assert [pod(labels=MESHED).identity_at(80), pod().identity_at(80)] == ["spiffe://cluster.local/ns/ns/sa/web", ""]


@pytest.mark.parametrize("port", [22, 4190, 4191])
def test_no_identity_on_skipped_ports(port: int) -> None:
    """Ports that the pod's annotation skips, and the proxy's own, are answered by somebody else."""
    assert pod(labels=MESHED, annotations={"config.weft.dev/skip-inbound-ports": "20-23"}).identity_at(port) == ""


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"labels": {"weft.dev/workload-kind": "cronjob", "weft.dev/workload": "audit"}}, ("cronjob", "audit")),
        ({"labels": {"pod-template-hash": "5f"}, "owner": ("ReplicaSet", "web-5f")}, ("deployment", "web")),
        ({"owner": ("ReplicaSet", "web-5f")}, ("replicaset", "web-5f")),
        ({"owner": ("StatefulSet", "db")}, ("statefulset", "db")),
        ({"owner": ("Job", "audit-29012345")}, ("cronjob", "audit")),
        ({}, ("pod", "web-1")),
    ],
)
def test_workload(facts: dict[str, Any], expected: tuple[str, str]) -> None:
    """The workload is named by the injector's labels, else found through the pod's owner."""
    assert (pod(**facts).workload_kind, pod(**facts).workload) == expected


@pytest.mark.parametrize("facts", [{"phase": "Succeeded"}, {"phase": "Failed"}, {"host_network": True}])
def test_addresses_that_are_not_the_pods_own(facts: dict[str, Any]) -> None:
    """An ended pod's address may be another's by now, and a node's address is nobody's."""
    assert pod(**facts).ips == ()


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"ready": True}, 1),
        ({"ready": None}, 1),
        ({"ready": False}, 0),
        ({"ready": False, "serving": True}, 0),
        ({"ready": True, "terminating": True}, 0),
    ],
)
def test_which_endpoints_count(conditions: dict[str, Any], expected: int) -> None:
    """Ready ones do, which publishNotReadyAddresses makes all; terminating ones do not."""
    raw = make.endpoint_slice("ns", "web-a", "web", [make.endpoint("10.0.0.1", **conditions)])
    assert len(translate.endpoint_slice(msgspec.convert(raw, objects.EndpointSlice)).endpoints) == expected


def test_names_are_no_addresses() -> None:
    """Slices of address type FQDN, and ports of other protocols than TCP, are not for proxies."""
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}]
    raw = make.endpoint_slice("ns", "a", "web", [make.endpoint("example.org")], address_type="FQDN", ports=ports)
    slice_ = translate.endpoint_slice(msgspec.convert(raw, objects.EndpointSlice))
    assert (slice_.endpoints, slice_.ports) == ((), ())


def test_a_headless_service_has_no_address() -> None:
    """ "None" is no ClusterIP."""
    assert translate.service(msgspec.convert(make.service("ns", "db"), objects.Service)).cluster_ips == ()


@pytest.mark.parametrize(
    ("ip", "port", "annotations", "faults"),
    [
        ("10.96.0.1", "http", {"retry-limit": "2", "opaque-ports": "9"}, []),
        ("10.96.0.1", "redis", {"retry-limit": "2"}, ["about requests have no effect: port 80 of Service ns/db"]),
        ("10.96.0.1", "http", {"opaque-ports": "80", "request-timeout": "1s"}, ["about requests have no effect: port"]),
        ("", "http", {"breaker-failures": "3"}, ["about requests have no effect: Service ns/db is headless"]),
        ("", "http", {"opaque-ports": "80"}, ["opaque-ports has no effect: Service ns/db is headless"]),
        ("", "http", {"opaque-ports": "80", "retries": "x"}, ["retries: a Service has no such", "opaque-ports has no"]),
    ],
)
def test_annotations_that_mean_nothing_to_their_service(
    ip: str, port: str, annotations: dict[str, str], faults: list[str]
) -> None:
    """Where no requests are seen nothing can be retried; who set it is told."""
    named = {f"config.weft.dev/{name}": value for name, value in annotations.items()}
    raw = make.service("ns", "db", *filter(None, [ip]), ports=[{"name": port, "port": 80}], annotations=named)
    found = translate.service(msgspec.convert(raw, objects.Service))

    assert [word in fault for word, fault in zip(faults, found.faults, strict=True)] == [True] * len(faults)


@pytest.mark.parametrize(
    ("app_protocol", "name", "expected"),
    [
        ("grpc", "http", Protocol.GRPC),
        ("", "grpc-admin", Protocol.GRPC),
        ("", "grpc-web", Protocol.DETECT),
        ("kubernetes.io/h2c", "", Protocol.HTTP2),
        ("http", "", Protocol.DETECT),
        ("HTTPS", "", Protocol.OPAQUE),
        ("", "tcp-feed", Protocol.OPAQUE),
        ("", "redis", Protocol.OPAQUE),
        ("example.com/own", "web", None),
    ],
)
def test_declarations(app_protocol: str, name: str, expected: Protocol | None) -> None:
    """appProtocol counts before the port's name; unknown words say nothing."""
    assert by_declaration(app_protocol, name) == expected


@pytest.mark.parametrize(
    ("annotation", "numbers", "expected"),
    [
        (None, (80, 8080), Protocol.DETECT),
        (None, (7000, 6379), Protocol.OPAQUE),
        ("80", (80, 8080), Protocol.OPAQUE),
        ("", (6379,), Protocol.DETECT),
        ("nonsense", (6379,), Protocol.OPAQUE),
    ],
)
def test_opaque_ports(annotation: str | None, numbers: tuple[int, ...], expected: Protocol) -> None:
    """The annotation replaces the usual numbers; nonsense counts as none."""
    annotations = {} if annotation is None else {"config.weft.dev/opaque-ports": annotation}
    ports = [{"name": "x", "port": numbers[0], "targetPort": numbers[-1]}]
    raw = make.service("ns", "web", ports=ports, annotations=annotations)
    assert translate.service(msgspec.convert(raw, objects.Service)).ports[0].protocol == expected


def test_an_annotation_counts_before_declarations() -> None:
    """Who says opaque means it, whatever the port is called."""
    assert of_service_port("grpc", "http", (80,), model.Ports((range(80, 81),))) == Protocol.OPAQUE
