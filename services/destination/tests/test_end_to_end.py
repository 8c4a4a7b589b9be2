"""From a change in Kubernetes to what a proxy is told: the whole service against an API server on a socket."""

import asyncio
import ipaddress
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import grpc
import pytest
from weft_api.discovery.v1 import discovery_pb2 as pb
from weft_destination.hub import DELTA_FROM, Hub
from weft_destination.index import Index
from weft_destination.metrics import Metrics
from weft_destination.server import MAX_STREAMS, Server
from weft_destination.watches import reflectors
from weft_kube.api import KubeApi
from weft_runtime.config import Address
from weft_testkit.fake_kube import FakeKube
from weft_testkit.objects import custom, endpoint, endpoint_slice, namespace, pod, service
from weft_testkit.wait import until

Json = dict[str, Any]

MESHED = {"weft.dev/proxy-version": "0.1.0", "weft.dev/workload-kind": "deployment", "weft.dev/workload": "web"}
ID = "spiffe://cluster.local/ns/ns/sa/crowd"
HELLO = pb.Request(hello=pb.Hello(namespace="ns", pod="web-1", version="0.1.0"))


def outbound(ip: str, port: int) -> pb.Target:
    """An address as a target."""
    return pb.Target(outbound=pb.SocketAddress(ip=ipaddress.ip_address(ip).packed, port=port))


def endpoints(name: str, port: int) -> pb.Target:
    """A Service port in namespace ns as a target."""
    return pb.Target(endpoints=pb.ServicePort(namespace="ns", name=name, port=port))


def watch(target: pb.Target, held: str = "") -> pb.Request:
    """The request to watch a target."""
    return pb.Request(watch=pb.Watch(target=target, held_version=held))


def pods(update: pb.Update) -> list[str]:
    """The pods among the endpoints told."""
    return [endpoint.pod for endpoint in update.endpoints.endpoints]


class Proxy:
    """A proxy's end of a stream."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def ask(self, *requests: pb.Request) -> None:
        """A stream that the server has ended meanwhile is told by `end` and by answers that do not come."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for request in requests:
                await self.call.write(request.SerializeToString())

    async def update(self) -> pb.Update:
        async with asyncio.timeout(5):
            return pb.Update.FromString(await self.call.read())

    async def answer(self, target: pb.Target, held: str = "") -> pb.Update:
        await self.ask(watch(target, held))
        return await self.update()

    async def end(self) -> tuple[grpc.StatusCode, str]:
        async with asyncio.timeout(5):
            return await self.call.code(), await self.call.details()


def web(*pods: int) -> list[Json]:
    """Service `web` with these pods, all meshed."""
    return [
        service("ns", "web", "10.96.0.1"),
        *(pod("ns", f"web-{n}", f"10.0.0.{n}", service_account="web", labels=MESHED) for n in pods),
        endpoint_slice("ns", "web-a", "web", [endpoint(f"10.0.0.{n}", f"web-{n}", zone="z1") for n in pods]),
    ]


class Mesh:
    """A fake cluster and a destination that follows it."""

    def __init__(self, kube: FakeKube, server: Server, channel: grpc.aio.Channel, stop: asyncio.Event) -> None:
        self.stop = stop
        self._server = server
        self._kube = kube
        self._addresses = itertools.count(1)
        self._subscribe: Any = channel.stream_stream("/weft.discovery.v1.Discovery/Subscribe")

    def put(self, *objects: Json) -> None:
        for obj in objects:
            self._kube.put(obj)

    def delete(self, obj: Json) -> None:
        self._kube.delete(obj)

    @contextmanager
    def away(self) -> Iterator[None]:
        """The API server cuts watches and refuses everybody; back again, it has forgotten former versions."""
        gone = [(503, {"reason": "ServiceUnavailable"})]
        self._kube.on_request("GET", ".*", lambda _: gone[0] if gone else None)
        self._kube.drop_watches()
        yield
        self._kube.compact()
        gone.clear()

    def watched(self, name: str) -> float:
        """A figure of the watch of EndpointSlices, as metrics tell."""
        registry = self._server.metrics.registry
        return registry.get_sample_value(f"weft_destination_watch_{name}", {"kind": "slices"}) or 0.0

    def faulty(self, kind: str) -> float | None:
        """Objects that say nonsense, as metrics tell."""
        return self._server.metrics.registry.get_sample_value("weft_destination_faulty_objects", {"kind": kind})

    def figures(self) -> tuple[float, float]:
        """Streams and targets, as metrics tell."""
        registry = self._server.metrics.registry
        names = ("weft_destination_streams", "weft_destination_targets")
        return tuple(registry.get_sample_value(name) for name in names)  # type: ignore[return-value]

    async def silent(self) -> Proxy:
        """A stream that has been opened, and no more."""
        call = self._subscribe(metadata=(("weft-client-id", ID),))
        await call.wait_for_connection()
        return Proxy(call)

    def refusals(self, code: grpc.StatusCode) -> float | None:
        """Streams ended with this code, as metrics tell."""
        labels = {"code": code.name}
        return self._server.metrics.registry.get_sample_value("weft_destination_refusals_total", labels)

    async def proxy(self, hello: pb.Request = HELLO, identity: str = ID, address: str = "") -> Proxy:
        """A stream from this address, or from one of its own."""
        proxy = self.unheard(identity, address)
        await proxy.ask(hello)
        return proxy

    def unheard(self, identity: str = ID, address: str = "") -> Proxy:
        """The same without a word: what ends a stream is its status for sure only while nothing is being written."""
        address = address or f"10.1.0.{next(self._addresses)}"
        return Proxy(self._subscribe(metadata=(("weft-client-id", identity), ("weft-client-address", address))))


@asynccontextmanager
async def mesh(*objects: Json, anonymous: bool = False, max_streams: int = MAX_STREAMS) -> AsyncIterator[Mesh]:
    """A running destination that has listed these objects."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        for obj in objects:
            kube.put(obj)
        index = Index()
        hub = Hub(index)
        watches = reflectors(api, index, hub.facts_changed, "cluster.local")
        metrics = Metrics({kind: reflector.state for kind, reflector in watches.items()})
        metrics.count_faulty(index.faulty)
        server = Server(hub, metrics, "cluster.local", allow_anonymous=anonymous, max_streams=max_streams)
        running = [tasks.create_task(reflector.run()) for reflector in watches.values()]
        for reflector in watches.values():
            await reflector.state.synced.wait()
        stop = asyncio.Event()
        serving = tasks.create_task(server.serve(Address("127.0.0.1", 0), stop))
        await server.started.wait()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield Mesh(kube, server, channel, stop)
        stop.set()
        await serving
        for task in running:
            task.cancel()


async def test_a_cluster_ip_leads_to_its_service() -> None:
    """The answer to a ClusterIP names the Service whose endpoints to watch."""
    async with mesh(*web(1)) as m:
        update = await (await m.proxy()).answer(outbound("10.96.0.1", 80))
        assert update.outbound.service.service == pb.ServicePort(namespace="ns", name="web", port=80)


async def test_heartbeats_answer_a_hello_that_wants_them() -> None:
    """The first word is a heartbeat with the promise of the next ones; proxies that know none get none."""
    wanting = pb.Request(hello=pb.Hello(namespace="ns", pod="web-1", version="0.1.0", heartbeats=True))
    async with mesh(*web(1)) as cluster:
        update = await (await cluster.proxy(wanting)).update()
        assert (update.WhichOneof("state"), update.heartbeat.interval_ms) == ("heartbeat", 15_000)
        assert (await (await cluster.proxy()).answer(endpoints("web", 80))).WhichOneof("state") == "endpoints"


async def test_endpoints_carry_identity_and_labels() -> None:
    """An endpoint tells all that a proxy needs to verify, prefer and label it."""
    async with mesh(*web(1)) as m:
        update = await (await m.proxy()).answer(endpoints("web", 80))
        expected = pb.Endpoint(
            address=pb.SocketAddress(ip=bytes([10, 0, 0, 1]), port=8080),
            weight=1,
            identity="spiffe://cluster.local/ns/ns/sa/web",
            zone="z1",
            namespace="ns",
            pod="web-1",
            workload_kind="deployment",
            workload="web",
        )
        assert list(update.endpoints.endpoints) == [expected]


async def test_scaling_is_followed() -> None:
    """New endpoints arrive, and those whose pods are deleted leave, without being asked for."""
    async with mesh(*web(1)) as m:
        proxy = await m.proxy()
        first = await proxy.answer(endpoints("web", 80))
        m.put(*web(1, 2))
        second = await proxy.update()
        m.delete(pod("ns", "web-1"))
        third = await proxy.update()
        assert [pods(first), pods(second), pods(third)] == [["web-1"], ["web-1", "web-2"], ["web-2"]]


async def test_without_the_api_server_all_goes_on_by_what_is_known() -> None:
    """A proxy that comes meanwhile is told as much as others, and metrics say how old that is. Afterwards all is listed
    anew: what is told then is what changed, and what still exists has never left."""
    async with mesh(*web(1, 2)) as m:
        proxy = await m.proxy()
        first = await proxy.answer(endpoints("web", 80))
        with m.away():
            aged = m.watched("last_event_age_seconds")
            m.put(*web(1, 3))
            m.delete(pod("ns", "web-2"))
            await until(lambda: m.watched("failures_total") > 1)
            newcomer = await (await m.proxy()).answer(endpoints("web", 80))
            assert (m.watched("relists_total"), m.watched("last_event_age_seconds") > aged) == (1, True)
        told = [first, newcomer]
        while "web-2" in pods(told[-1]) or "web-3" not in pods(told[-1]):
            told.append(await proxy.update())

        assert [pods(update) for update in told[:2]] == [["web-1", "web-2"]] * 2
        assert (all("web-1" in pods(update) for update in told), pods(told[-1])) == (True, ["web-1", "web-3"])
        assert m.watched("relists_total") == 2


def route(namespace: str, name: str, /, **rule: Any) -> Json:
    """An HTTPRoute of Service web in ns with one rule."""
    parent = {"group": "", "kind": "Service", "namespace": "ns", "name": "web"}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"parentRefs": [parent], "rules": [rule]},
    }


async def test_a_route_reaches_those_whom_it_concerns() -> None:
    """A producer's route every client; a consumer's the clients of its own namespace, in its place."""
    backend = {"name": "web", "namespace": "ns", "port": 80, "weight": 3}
    guest = pb.Request(hello=pb.Hello(namespace="guests", pod="g-1", version="0.1.0"))
    async with mesh(*web(1)) as m:
        proxy = await m.proxy()
        other = await m.proxy(guest, ID.replace("/ns/ns/", "/ns/guests/"))
        before = [await one.answer(outbound("10.96.0.1", 80)) for one in (proxy, other)]
        m.put(route("ns", "producer", name="all", backendRefs=[backend]))
        producer = [await one.update() for one in (proxy, other)]
        m.put(route("guests", "consumer", backendRefs=[backend], timeouts={"request": "2s"}))
        consumer = await other.update()

    assert [list(one.outbound.service.routes) for one in before] == [[], []]
    to_web = pb.WeightedBackend(service=pb.ServicePort(namespace="ns", name="web", port=80), weight=3)
    told = pb.Route(name="producer/all", matches=[pb.RouteMatch()], backends=[to_web])
    assert [list(one.outbound.service.routes) for one in producer] == [[told], [told]]
    assert [one.outbound.service.no_match_not_found for one in (*before, *producer)] == [False, False, True, True]
    told = pb.Route(name="consumer/0", matches=[pb.RouteMatch()], backends=[to_web], request_timeout_ms=2000)
    assert list(consumer.outbound.service.routes) == [told]


async def test_a_route_takes_the_place_of_a_profile() -> None:
    """And gives it back."""
    held = route("ns", "r", backendRefs=[{"name": "web", "port": 80}])
    profile = custom("ServiceProfile", "ns", "web", {"routes": [{"name": "all", "condition": {"pathRegex": ".*"}}]})
    async with mesh(*web(1), profile) as m:
        proxy = await m.proxy()
        updates = [await proxy.answer(outbound("10.96.0.1", 80))]
        m.put(held)
        updates.append(await proxy.update())
        m.delete(held)
        updates.append(await proxy.update())
    names = [[one.name for one in update.outbound.service.routes] for update in updates]
    assert names == [["all"], ["r/0"], ["all"]]


async def test_an_unknown_address_becomes_known() -> None:
    """ "Not in the mesh" is an answer, and is corrected when a pod gets the address."""
    async with mesh() as m:
        proxy = await m.proxy()
        before = await proxy.answer(outbound("10.0.0.1", 8080))
        m.put(pod("ns", "web-1", "10.0.0.1", service_account="web", labels=MESHED))
        after = await proxy.update()
        assert before.outbound.HasField("not_in_mesh")
        assert after.outbound.pod.identity == "spiffe://cluster.local/ns/ns/sa/web"


async def test_a_profile_gives_routes() -> None:
    """A ServiceProfile's routes reach proxies that already talk to the Service."""
    async with mesh(*web(1)) as m:
        proxy = await m.proxy()
        await proxy.answer(outbound("10.96.0.1", 80))
        m.put(custom("ServiceProfile", "ns", "web", {"routes": [{"name": "all", "timeout": "300ms"}]}))
        routes = (await proxy.update()).outbound.service.routes
        assert list(routes) == [pb.Route(name="all", request_timeout_ms=300)]


async def test_a_held_version_is_not_sent_again() -> None:
    """After a reconnect only what changed is told: the first message is about the other target."""
    async with mesh(*web(1)) as m:
        version = (await (await m.proxy()).answer(endpoints("web", 80))).version
        again = await m.proxy()
        await again.ask(watch(endpoints("web", 80), version))
        update = await again.answer(outbound("10.96.0.1", 80))
        assert update.target == outbound("10.96.0.1", 80)


async def test_another_held_version_is_replaced_whole() -> None:
    """A version that this replica never had is answered by the whole state."""
    async with mesh(*web(1)) as m:
        update = await (await m.proxy()).answer(endpoints("web", 80), "0123456789abcdef")
        assert pods(update) == ["web-1"]


async def test_large_sets_change_by_deltas() -> None:
    """One endpoint more among many is one endpoint told."""
    many = range(1, DELTA_FROM + 2)
    async with mesh(*web(*many)) as m:
        proxy = await m.proxy()
        first = await proxy.answer(endpoints("web", 80))
        m.put(*web(*many, 200))
        delta = (await proxy.update()).endpoints_delta
        assert (delta.base_version, [e.pod for e in delta.upserted]) == (first.version, ["web-200"])


async def test_unwatched_targets_are_silent() -> None:
    """After Unwatch nothing more is told of a target."""
    async with mesh(*web(1)) as m:
        proxy = await m.proxy()
        await proxy.answer(endpoints("web", 80))
        await proxy.ask(pb.Request(unwatch=endpoints("web", 80)))
        await proxy.answer(outbound("10.96.0.1", 80))
        m.put(*web(2))
        m.put(custom("ServiceProfile", "ns", "web", {"routes": [{"name": "all"}]}))
        assert (await proxy.update()).target == outbound("10.96.0.1", 80)


async def test_inbound_ports_are_the_callers_own() -> None:
    """What a pod's annotation makes opaque is opaque to its own proxy."""
    annotations = {"config.weft.dev/opaque-ports": "7777"}
    async with mesh(pod("ns", "web-1", "10.0.0.1", annotations=annotations)) as m:
        update = await (await m.proxy()).answer(pb.Target(inbound=7777))
        assert update.inbound.protocol == pb.PROTOCOL_OPAQUE


@pytest.mark.parametrize(
    "identity",
    ["", "spiffe://cluster.local/ns/other/sa/x", "spiffe://elsewhere/ns/ns/sa/x", "spiffe://cluster.local/ns/ns"],
)
async def test_strangers_are_refused(identity: str) -> None:
    """A Hello is believed only from a peer whose SPIFFE ID is of that namespace."""
    async with mesh() as m:
        code, _ = await (await m.proxy(identity=identity)).end()
        assert code == grpc.StatusCode.PERMISSION_DENIED


async def test_tests_may_be_anonymous() -> None:
    """With the setting for tests, no identity is needed."""
    async with mesh(*web(1), anonymous=True) as m:
        update = await (await m.proxy(identity="")).answer(endpoints("web", 80))
        assert pods(update) == ["web-1"]


@pytest.mark.parametrize(
    "request_",
    [
        watch(endpoints("web", 0)),
        watch(endpoints("", 80)),
        watch(pb.Target(outbound=pb.SocketAddress(ip=b"123", port=80))),
        watch(pb.Target()),
        pb.Request(),
        HELLO,
    ],
)
async def test_malformed_requests_end_the_stream(request_: pb.Request) -> None:
    """A request that is none is answered by INVALID_ARGUMENT and a reason."""
    async with mesh() as m:
        proxy = await m.proxy()
        await proxy.ask(request_)
        code, reason = await proxy.end()
        assert (code, reason != "") == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_the_first_message_is_a_hello() -> None:
    """Nothing is told to a proxy that has not said who it is."""
    async with mesh() as m:
        code, _ = await (await m.proxy(hello=watch(endpoints("web", 80)))).end()
        assert code == grpc.StatusCode.INVALID_ARGUMENT


async def test_stopping_sends_proxies_elsewhere() -> None:
    """On stop every stream ends with UNAVAILABLE, which makes a proxy connect again."""
    async with mesh(*web(1)) as m:
        proxy = await m.proxy()
        await proxy.answer(endpoints("web", 80))
        m.stop.set()
        assert (await proxy.end())[0] == grpc.StatusCode.UNAVAILABLE


async def test_one_proxy_too_many_goes_elsewhere() -> None:
    """A full replica ends a further stream with UNAVAILABLE, and the others go on; room is given again."""
    async with mesh(*web(1), max_streams=1) as m:
        first = await m.proxy()
        await first.answer(endpoints("web", 80))
        assert (await m.unheard().end())[0] == grpc.StatusCode.UNAVAILABLE
        await first.answer(outbound("10.96.0.1", 80))
        first.call.cancel()
        await until(lambda: m.figures() == (0, 0))
        await (await m.proxy()).answer(endpoints("web", 80))


async def test_one_pod_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream too many of one identity and address: RESOURCE_EXHAUSTED and a count, before its Hello too; others of
    the identity, and others at the address, are served, and room is given again."""
    monkeypatch.setattr("weft_destination.shares.STREAMS_EACH", 1)
    guest = pb.Request(hello=pb.Hello(namespace="guests", pod="g-1", version="0.1.0"))
    async with mesh(*web(1)) as m:
        first = await m.proxy(address="10.0.0.1")
        await first.answer(endpoints("web", 80))
        assert (await m.unheard(address="10.0.0.1").end())[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert m.refusals(grpc.StatusCode.RESOURCE_EXHAUSTED) == 1
        for other in (m.proxy(), m.proxy(guest, ID.replace("/ns/ns/", "/ns/guests/"), "10.0.0.1")):
            await (await other).answer(endpoints("web", 80))
        first.call.cancel()
        await until(lambda: m.figures()[0] == 2)
        await (await m.proxy(address="10.0.0.1")).answer(endpoints("web", 80))


async def test_a_proxy_that_leaves_is_forgotten() -> None:
    """Neither its stream nor its topics stay behind."""
    async with mesh(*web(1)) as m:
        proxy = await m.proxy()
        await proxy.answer(endpoints("web", 80))
        proxy.call.cancel()
        await until(lambda: m.figures() == (0, 0))


async def test_a_megabyte_of_annotations_keeps_nobody_waiting() -> None:
    """A Service and its pod with it are served as if it said nothing."""
    huge = {"config.weft.dev/opaque-ports": "1," * 2**19, "config.weft.dev/request-timeout": "x" * 2**20}
    big = pod("ns", "big-1", "10.0.0.9", annotations=huge), service("ns", "big", "10.96.0.9", annotations=huge)
    async with mesh(*web(1), *big) as m:
        update = await (await m.proxy()).answer(outbound("10.96.0.9", 80))
        assert update.outbound.service == pb.ServiceDestination(service=endpoints("big", 80).endpoints)


async def refused(m: Mesh, data: bytes) -> grpc.StatusCode:
    """How a stream ends that sends this after its Hello, while another one goes on."""
    other = await m.proxy()
    bad = await m.proxy()
    await bad.call.write(data)
    code, reason = await bad.end()
    assert reason
    await other.answer(endpoints("web", 80))
    return code


@pytest.mark.parametrize("data", [b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"{}"])
async def test_garbage_ends_its_stream_alone(data: bytes) -> None:
    """Bytes that are no Request: INVALID_ARGUMENT and a count; others are served on."""
    async with mesh(*web(1)) as m:
        assert await refused(m, data) == grpc.StatusCode.INVALID_ARGUMENT
        assert m.refusals(grpc.StatusCode.INVALID_ARGUMENT) == 1


async def test_a_huge_message_ends_its_stream_alone() -> None:
    """A message above 8 KiB is not taken in: RESOURCE_EXHAUSTED and a count."""
    async with mesh(*web(1)) as m:
        huge = watch(endpoints("web", 80), "x" * 2**13).SerializeToString()
        assert await refused(m, huge) == grpc.StatusCode.RESOURCE_EXHAUSTED
        await until(lambda: m.refusals(grpc.StatusCode.RESOURCE_EXHAUSTED) == 1)


async def test_no_room_is_made_for_a_message_that_is_far_too_long() -> None:
    """By the length that it announces: what never ends would else be held as far as it has come, in each stream."""
    async with mesh(*web(1)) as m:
        assert await refused(m, b"x" * (2**16 + 1)) == grpc.StatusCode.RESOURCE_EXHAUSTED


MEGABYTE = "1," * 2**19


async def test_nonsense_is_counted_while_it_stays() -> None:
    """A megabyte in annotations of a Service, a pod and a namespace: each counts, of its kind, and others are told."""
    opaque = {"config.weft.dev/opaque-ports": MEGABYTE}
    faulty = [
        service("ns", "bad", "10.96.0.9", annotations={"config.weft.dev/timeout": MEGABYTE}),
        pod("ns", "bad", "10.0.0.9", annotations=opaque),
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "bad", "annotations": {"config.weft.dev/default-access": MEGABYTE}},
        },
    ]
    kinds = ("services", "pods", "namespaces")
    async with mesh(*web(1), *faulty, pod("ns", "worse", "10.0.0.8", annotations=opaque)) as m:
        proxy = await m.proxy()
        await proxy.answer(endpoints("web", 80))
        assert [m.faulty(kind) for kind in kinds] == [1, 2, 1]
        m.put(pod("ns", "worse", "10.0.0.8"))
        for obj in faulty:
            m.delete(obj)
        await until(lambda: [m.faulty(kind) for kind in kinds] == [0, 0, 0])


async def test_silence_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that never says Hello: DEADLINE_EXCEEDED and a count."""
    monkeypatch.setattr("weft_destination.server.HELLO_SECONDS", 0.05)
    async with mesh() as m:
        proxy = await m.silent()
        assert (await proxy.end())[0] == grpc.StatusCode.DEADLINE_EXCEEDED
        assert m.refusals(grpc.StatusCode.DEADLINE_EXCEEDED) == 1


async def test_a_storm_of_garbage_leaves_nothing() -> None:
    """A hundred broken streams at once: all refused, none kept."""
    async with mesh(*web(1)) as m:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(100):
                tasks.create_task(refused(m, b"\xff"))
        assert m.refusals(grpc.StatusCode.INVALID_ARGUMENT) == 100


INBOUND = pb.Target(inbound=8080)
CART = "spiffe://cluster.local/ns/ns/sa/cart"


def allow(name: str = "menu", **spec: Any) -> Json:
    """A policy of namespace ns that lets `cart` in."""
    return custom("AccessPolicy", "ns", name, {"rules": [{"from": [{"serviceAccount": {"name": "cart"}}]}], **spec})


async def test_a_policy_reaches_the_pods_that_it_is_about() -> None:
    """When it comes, changes and goes; pods that it does not select, and other namespaces, hear nothing."""
    about_web = {"target": {"workload": {"matchLabels": {"app": "web"}}}}
    labels = MESHED | {"app": "web"}
    others = [pod("ns", "db-1", "10.0.0.8", labels=MESHED), pod("other", "web-1", "10.0.0.9", labels=labels)]
    async with mesh(*web(1), pod("ns", "web-1", "10.0.0.1", labels=labels), *others) as m:
        asked = await m.proxy()
        other = await m.proxy(pb.Request(hello=pb.Hello(namespace="ns", pod="db-1", version="0.1.0")))
        before = await asked.answer(INBOUND)
        await other.answer(INBOUND)
        m.put(allow(**about_web))
        denying = (await asked.update()).inbound
        m.put(allow(mode="audit", **about_web))
        told = (await asked.update()).inbound
        m.delete(allow())
        after = await asked.update()
        m.put(custom("AccessPolicy", "ns", "all", {"rules": [{"from": [{"anyone": True}]}]}))
        first_of_other = (await other.update()).inbound

    rule = pb.Rule(name="ns/menu", clients=[pb.Client(identity=CART)])
    decision = pb.Policy(rules=[rule], default=pb.DEFAULT_DENY, default_name="policy ns/menu")
    assert (before.version, before.inbound.HasField("enforced")) == (after.version, False)
    assert denying == pb.Inbound(protocol=pb.PROTOCOL_DETECT, enforced=decision)
    assert told == pb.Inbound(protocol=pb.PROTOCOL_DETECT, audited=decision)
    assert [one.name for one in first_of_other.enforced.rules] == ["ns/all"]


async def test_a_namespace_s_default_holds_at_once() -> None:
    """The annotation needs no pod to start again; probes stay allowed."""
    probe = {"httpGet": {"path": "/healthz?full=1", "port": "http"}}
    one = pod("ns", "web-1", "10.0.0.1", labels=MESHED)
    ports = [{"containerPort": 8080, "name": "http"}]
    one["spec"]["containers"] = [{"name": "app", "image": "i", "ports": ports, "livenessProbe": probe}]
    async with mesh(one, namespace("ns")) as m:
        asked = await m.proxy()
        await asked.answer(INBOUND)
        annotated = namespace("ns")
        annotated["metadata"]["annotations"] = {"config.weft.dev/default-access": "deny"}
        m.put(annotated)
        told = (await asked.update()).inbound.enforced

    calls = [pb.CallMatch(method="GET", exact="/healthz")]
    rules = [pb.Rule(name="probe", calls=calls)]
    assert told == pb.Policy(rules=rules, default=pb.DEFAULT_DENY, default_name="namespace ns")


async def test_egress_is_told_to_the_namespace_s_own_clients() -> None:
    """Where an address leads outside the mesh, and only there."""
    stranger = ("spiffe://cluster.local/ns/other/sa/x", pb.Request(hello=pb.Hello(namespace="other", pod="x")))
    async with mesh(*web(1)) as m:
        own, other = await m.proxy(), await m.proxy(stranger[1], stranger[0])
        open_ = await own.answer(outbound("192.0.2.1", 443))
        m.put(custom("AccessPolicy", "ns", "out", {"egress": {"allow": [{"host": "a.example"}]}}))
        closed = await own.update()
        foreign = await other.answer(outbound("192.0.2.1", 443))

    egress = pb.Egress(name="policy ns/out", hosts=["a.example"])
    assert closed.outbound.not_in_mesh == pb.NotInMesh(egress=egress)
    assert [one.outbound.not_in_mesh for one in (open_, foreign)] == [pb.NotInMesh(), pb.NotInMesh()]


async def test_a_service_s_selector_moves_its_policies() -> None:
    """A policy of a Service follows its selector, and a policy of a route the Service's profile."""
    labels = MESHED | {"app": "web"}
    target = {"target": {"service": {"name": "web", "route": "teas"}}}
    route = {"name": "teas", "condition": {"method": "GET", "path": "/teas/{id}"}}
    one = pod("ns", "web-1", "10.0.0.1", labels=labels)
    async with mesh(one, service("ns", "web", "10.96.0.1", selector={"app": "none"}), allow(**target)) as m:
        asked = await m.proxy()
        open_ = (await asked.answer(INBOUND)).inbound
        m.put(service("ns", "web", "10.96.0.1"))
        unknown = (await asked.update()).inbound.enforced
        m.put(custom("ServiceProfile", "ns", "web", {"routes": [route]}))
        known = (await asked.update()).inbound.enforced

    assert open_ == pb.Inbound(protocol=pb.PROTOCOL_DETECT)
    assert [list(unknown.rules), unknown.default] == [[], pb.DEFAULT_DENY]
    assert [list(one.calls) for one in known.rules] == [[pb.CallMatch(method="GET", template="/teas/{}")]]
