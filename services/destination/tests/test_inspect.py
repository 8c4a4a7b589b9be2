"""What people see when they look into destination."""

from typing import Any

import pytest
from weft_destination import encode, model
from weft_destination.hub import Hub
from weft_destination.index import Index
from weft_destination.inspect import inspected, plain
from weft_destination.metrics import Metrics
from weft_destination.model import Protocol
from weft_destination.policy import model as policy
from weft_destination.policy.read import read_policy
from weft_destination.route import Route, Settings
from weft_destination.shares import Share
from weft_destination.stream import Stream
from weft_http.message import Headers, Refused, Request
from weft_http.routes import Routes
from weft_testkit.listen import asking

WEB = model.EndpointsTarget("ns", "web", 80)


def index() -> Index:
    """Service web with one pod."""
    result = Index()
    result.services.apply(
        model.Service(("ns", "web"), (bytes([10, 96, 0, 1]),), (model.ServicePort(80, "http", Protocol.DETECT),))
    )
    result.slices.apply(
        model.Slice(
            ("ns", "web-a"),
            ("ns", "web"),
            (model.SlicePort("http", 8080, None),),
            (model.SliceEndpoint(bytes([10, 0, 0, 1]), "", "z1"),),
        )
    )
    return result


async def get(path: str, hub: Hub, *streams: Stream) -> tuple[int, Any]:
    """Status and body of a path."""
    async with asking(inspected(Routes(), hub, streams)) as client:
        response = await client.get(path)
        return response.status, await (response.json() if response.status == 200 else response.text())


async def test_endpoints_are_those_that_proxies_get() -> None:
    """State and version are the ones on the streams, and each watcher tells the version that it has."""
    hub = Hub(index())
    stream = Stream(encode.Hello("shop", "cart-1", "0.1.0"), hub, Metrics({}), Share())
    stream.take(encode.Watch(WEB, "old"))
    version, _ = encode.snapshot(WEB, hub.answer(WEB))
    status, body = await get("/debug/endpoints/ns/web/80", hub, stream)
    endpoint = {"ip": "10.0.0.1", "port": 8080, "identity": "", "zone": "z1", "namespace": "ns", "pod": ""}
    assert (status, body["version"], body["kind"]) == (200, version, "endpoints")
    assert body["state"]["endpoints"] == [endpoint | {"workload_kind": "", "workload": ""}]
    assert body["watchers"] == [{"namespace": "shop", "pod": "cart-1", "held_version": "old"}]


async def test_an_address_leads_to_its_service() -> None:
    """A ClusterIP is told as the Service; nobody needs to watch it."""
    _, body = await get("/debug/outbound/10.96.0.1/80", Hub(index()))
    service = {"namespace": "ns", "name": "web", "port": 80}
    assert (body["kind"], body["state"]["service"], body["watchers"]) == ("to_service", service, [])


async def test_the_policy_of_a_service_names_who_says_what() -> None:
    """Each port with its routes, where each comes from, what annotations add to it, and what holds nothing."""
    known = index()
    port = model.ServicePort(80, "http", Protocol.DETECT)
    settings, faults = Settings(timeout_ms=7), ("annotation x",)
    known.services.apply(model.Service(("ns", "web"), (bytes(4),), (port,), settings=settings, faults=faults))
    route = Route("all", origin="ServiceProfile ns/web routes[0]")
    known.profiles.apply(model.Profile(("ns", "web"), (route,), None))
    known.profiles.apply(model.Profile(("ns", "wed"), (route,), None))
    _, body = await get("/debug/policy/ns/web?client=guests", Hub(known))
    [found] = body["ports"]
    told = [(one["origin"], one["timeout_ms"], one["inherited"]) for one in found["routes"]]
    assert (found["service"]["port"], found["no_match_not_found"]) == (80, False)
    whose = "annotations of the Service"
    assert told == [
        ("ServiceProfile ns/web routes[0]", 7, [["timeout", whose]]),
        (whose, 7, [["timeout", whose]]),
    ]
    faulty = {"kind": "Service", "namespace": "ns", "name": "web", "message": "annotation x"}
    assert body["faults"] == [faulty]
    lost = {"kind": "ServiceProfile", "namespace": "ns", "name": "wed", "message": "there is no Service ns/wed"}
    assert (await get("/debug/faults", Hub(known)))[1] == {"faults": [faulty, lost]}


async def test_nothing_is_said_of_requests_that_nobody_can_send() -> None:
    """A headless Service has no address: what its profile and annotations say holds nowhere."""
    known = index()
    port = model.ServicePort(80, "http", Protocol.DETECT)
    known.services.apply(model.Service(("ns", "web"), (), (port,), settings=Settings(timeout_ms=7)))
    known.profiles.apply(model.Profile(("ns", "web"), (Route("all"),), None))
    _, body = await get("/debug/policy/ns/web", Hub(known))
    [found] = body["ports"]
    assert (found["service"]["port"], found["routes"], found["breaker"]) == (80, [], None)
    [fault] = body["faults"]
    assert fault["message"].startswith("Service ns/web is headless")


async def test_streams_are_listed() -> None:
    """Each with what it watches and what it waits for."""
    hub = Hub(index())
    stream = Stream(encode.Hello("shop", "cart-1", "0.1.0"), hub, Metrics({}), Share())
    stream.take(encode.Watch(WEB, ""))
    _, body = await get("/debug/streams", hub, stream)
    [row] = body["streams"]
    assert row.pop("seconds") >= 0
    assert row == {"namespace": "shop", "pod": "cart-1", "proxy_version": "0.1.0", "targets": 1, "waiting": 1}


@pytest.mark.parametrize("path", ["/debug/endpoints/ns/web/0", "/debug/endpoints/ns/web/x", "/debug/outbound/10.0/80"])
async def test_nonsense_is_refused(path: str) -> None:
    """With 400 and the reason."""
    status, text = await get(path, Hub(index()))
    assert (status, text.endswith(("is no port\n", "is no address\n"))) == (400, True)


@pytest.mark.parametrize(
    "path", ["/debug/streams", "/debug/faults", "/debug/endpoints/ns/web/80", "/debug/outbound/10.96.0.1/80"]
)
@pytest.mark.parametrize(
    ("remote", "status"), [("10.0.0.7", 403), ("::ffff:10.0.0.7", 403), ("127.0.0.1", 200), ("::1", 200)]
)
async def test_only_the_pods_own_loopback_looks_in(path: str, remote: str, status: int) -> None:
    """It names every pod of the cluster: a neighbour on the network gets nothing of it."""
    routes = inspected(Routes(), Hub(index()), [])
    try:
        found = (await routes(Request("GET", path, Headers(), remote))).status
    except Refused as refusal:
        found = refusal.status
    assert found == status


def test_model_values_read_as_words() -> None:
    """Addresses, enums and tuples become what JSON has."""
    answer = model.ToPod(model.Endpoint(bytes([10, 0, 0, 1]), 80), Protocol.OPAQUE)
    assert (plain(answer)["endpoint"]["ip"], plain(answer)["protocol"]) == ("10.0.0.1", "opaque")


async def test_a_port_s_rules_are_those_that_its_proxy_gets() -> None:
    """Names, clients and calls in words, the default by name."""
    found = index()
    access = policy.Pod(labels=frozenset({("app", "web")}))
    found.pods.apply(model.Pod(("ns", "web-1"), (), "", "", model.Ports(), None, "", "", access=access))
    spec = {"rules": [{"from": [{"cidr": "10.9.0.0/16"}], "to": [{"methods": ["GET"]}]}]}
    found.policies.apply(read_policy(("ns", "web"), spec, "cluster.local"))
    _, body = await get("/debug/inbound/ns/web-1/8080", Hub(found))

    network = {"ip": "10.9.0.0", "prefix_length": 16, "ports": []}
    client = {"identity": "", "namespace": "", "network": network, "authenticated": False}
    calls = [{"method": "GET", "kind": "any", "path": ""}]
    rule = {"name": "ns/web", "deny": False, "clients": [client], "calls": calls}
    decision = {"rules": [rule], "default": "deny", "default_name": "policy ns/web"}
    assert body["state"] == {
        "protocol": "detect",
        "access": {"enforced": decision, "audited": None, "limits": [], "unlimited": []},
    }
