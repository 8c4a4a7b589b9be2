"""Whatever proxies send and Kubernetes says: a refusal or a fact, never another error."""

import contextlib
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_api.discovery.v1 import discovery_pb2 as pb
from weft_destination import encode, model, translate
from weft_destination.hub import Hub
from weft_destination.index import Index
from weft_destination.metrics import Metrics
from weft_destination.stream import RefusedError, Stream
from weft_kube import names, objects

HI = encode.Hello("ns", "web-1", "0.1.0")


def target(name: str = "web") -> model.Target:
    """Endpoints of a Service."""
    return model.EndpointsTarget("ns", name, 80)


def test_endless_targets() -> None:
    """A stream that watches ever more is refused; what it watches already it may ask for again."""
    stream = Stream(HI, Hub(Index()), Metrics({}), max_targets=1)
    stream.take(encode.Watch(target(), ""))
    stream.take(encode.Watch(target(), "other"))
    with pytest.raises(RefusedError) as refusal:
        stream.take(encode.Watch(target("other"), ""))
    assert refusal.value.outcome.code == grpc.StatusCode.RESOURCE_EXHAUSTED


TARGETS = [
    pb.Target(endpoints=pb.ServicePort(namespace="ns", name="web", port=80)),
    pb.Target(outbound=pb.SocketAddress(ip=bytes(4), port=80)),
    pb.Target(inbound=1),
]
HELLO = pb.Request(hello=pb.Hello(namespace="ns", pod="web-1", version="0.1.0"))
valid = st.sampled_from([HELLO, *(pb.Request(watch=pb.Watch(target=each)) for each in TARGETS)])


@given(valid, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4), st.binary(max_size=20))
def test_decode_takes_any_bytes(request_: pb.Request, flips: list[tuple[int, int]], tail: bytes) -> None:
    """Whatever comes is a request or MalformedError, never another error."""
    data = bytearray(request_.SerializeToString())
    for place, value in flips:
        data[place % len(data)] = value
    for hello in (None, HI):
        with contextlib.suppress(encode.MalformedError):
            encode.decode(bytes(data) + tail, hello)


texts = st.one_of(st.text(max_size=20), st.sampled_from(["None", "10.0.0.1", "::1", "8080", "1-70000", "tcp", "Pod"]))


@given(st.lists(texts, min_size=8, max_size=8), st.integers(0, 70_000))
def test_translate_takes_any_object(words: list[str], number: int) -> None:
    """Annotations, addresses and names of any kind make a fact: one strange object must not stop the others."""
    a, b, c, d, e, f, g, h = words
    annotations = {names.OPAQUE_PORTS: a, names.SKIP_INBOUND_PORTS: b}
    meta = objects.Meta(
        name=c, namespace=d, annotations=annotations, labels={names.PROXY_VERSION: e, names.WORKLOAD: f}
    )
    meta.owner_references = [objects.OwnerReference(kind=g, name=h, controller=True)]
    ref = objects.TargetRef(kind=g, name=h)
    port: Any = objects.SlicePort(port=number, name=a, app_protocol=b)
    facts = [
        translate.pod(objects.Pod(meta, status=objects.PodStatus(pod_ips=[objects.PodIP(g)])), "cluster.local"),
        translate.endpoint_slice(
            objects.EndpointSlice(meta, endpoints=[objects.SliceEndpoint([g, h], target_ref=ref)], ports=[port])
        ),
        translate.service(
            objects.Service(meta, objects.ServiceSpec([g], [objects.ServicePort(number, a, app_protocol=h)]))
        ),
    ]
    assert {fact.key for fact in facts} == {(d, c)}
