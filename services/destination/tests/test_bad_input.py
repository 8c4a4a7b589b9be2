"""Whatever proxies send and Kubernetes says: a refusal or a fact, never another error."""

import contextlib
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_api.discovery.v1 import discovery_pb2 as pb
from weft_destination import encode, model, translate, watches
from weft_destination.gateway import read
from weft_destination.hub import Hub
from weft_destination.index import Index
from weft_destination.metrics import Metrics
from weft_destination.settings import SETTINGS
from weft_destination.shares import Share
from weft_destination.stream import RefusedError, Stream
from weft_kube import names, objects

HI = encode.Hello("ns", "web-1", "0.1.0")


def target(name: str = "web") -> model.Target:
    """Endpoints of a Service."""
    return model.EndpointsTarget("ns", name, 80)


def test_endless_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who watches ever more is refused, by however many streams; what a stream watches already it may ask for again,
    and what is watched no more makes room."""
    monkeypatch.setattr("weft_destination.stream.TARGETS_EACH", 2)
    hub, share = Hub(Index()), Share()
    one, two = (Stream(HI, hub, Metrics({}), share) for _ in range(2))
    one.take(encode.Watch(target(), ""))
    two.take(encode.Watch(target(), ""))
    two.take(encode.Watch(target(), "other"))
    assert refusal(two, "other") == grpc.StatusCode.RESOURCE_EXHAUSTED
    one.take(encode.Unwatch(target()))
    two.take(encode.Watch(target("other"), ""))
    two.close()
    assert (share.targets, len(hub)) == (0, 0)


def test_endless_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that tells as much as it can sends away who asks for more; what it tells already it tells everybody."""
    monkeypatch.setattr("weft_destination.stream.MAX_TOPICS", 1)
    hub = Hub(Index())
    one, two = (Stream(HI, hub, Metrics({}), Share()) for _ in range(2))
    one.take(encode.Watch(target(), ""))
    two.take(encode.Watch(target(), ""))
    assert refusal(two, "other") == grpc.StatusCode.UNAVAILABLE


def refusal(stream: Stream, name: str) -> grpc.StatusCode:
    """Why a stream may not watch a Service."""
    with pytest.raises(RefusedError) as refused:
        stream.take(encode.Watch(target(name), ""))
    return refused.value.outcome.code


LONG = "x" * (encode.MAX_NAME + 1)


@pytest.mark.parametrize(
    "request_",
    [
        pb.Request(watch=pb.Watch(target=pb.Target(endpoints=pb.ServicePort(namespace="ns", name=LONG, port=80)))),
        pb.Request(watch=pb.Watch(target=pb.Target(inbound=1), held_version=LONG)),
    ],
)
def test_endless_names(request_: pb.Request) -> None:
    """What would be kept as long as the stream lives is as short as names are."""
    with pytest.raises(encode.MalformedError, match="254 characters"):
        encode.decode(request_.SerializeToString(), HI)


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


@pytest.mark.parametrize("text", ["x" * 2**20, "1," * 2**19, "503," * 2**18])
def test_a_megabyte_of_annotations_is_not_kept(text: str) -> None:
    """On whichever object: it counts as nonsense, is told by a few words, and takes no room."""
    options = [*SETTINGS, "skip-inbound-ports", "default-access", "anything"]
    annotations = {f"config.weft.dev/{name}": text for name in options} | {"other": text}
    meta = objects.Meta(name="web", namespace="ns", annotations=annotations)
    facts = [
        translate.pod(objects.Pod(meta), "cluster.local"),
        translate.service(objects.Service(meta)),
        read.http_route(objects.GatewayRoute(meta)),
        watches.namespace(objects.Namespace(meta)),
    ]
    assert [fact for fact in map(repr, facts) if len(fact) > 5_000] == []
