"""Topics: what changed is encoded once, and told at a pace that leaves time for others."""

import asyncio

from weft_destination.hub import Hub, Topic
from weft_destination.index import Index
from weft_destination.model import EndpointsTarget, OutboundTarget, Protocol, Service, ServicePort
from weft_destination.route import Settings
from weft_testkit.wait import until

IP = bytes([10, 96, 0, 1])


class Ear:
    """A watcher that counts what it is told."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self, _: Topic) -> None:
        self.woken += 1


async def test_clients_of_all_namespaces_share_what_is_the_same() -> None:
    """One encoding of a Service's routes serves every namespace that has none of its own."""
    index = Index()
    hub, ear = Hub(index), Ear()
    topics = [hub.join(OutboundTarget(IP, 80, client), ear) for client in ("ns", "shop", "guests")]
    ports = (ServicePort(80, "http", Protocol.DETECT),)
    index.services.apply(Service(("ns", "web"), (IP,), ports, settings=Settings(timeout_ms=7)))
    hub.facts_changed()
    await until(lambda: ear.woken == 3)

    assert len({id(topic.since("")) for topic in topics}) == 1
    assert topics[0].settled > asyncio.get_running_loop().time()


async def test_who_stays_is_told_after_others_left() -> None:
    """Topics may rest on the same fact: each is told of changes whoever of the others was forgotten, or came back."""
    index = Index()
    hub, ears = Hub(index), [Ear() for _ in range(4)]
    targets = [EndpointsTarget("ns", "web", port) for port in range(1, 5)]
    topics = [hub.join(target, ear) for target, ear in zip(targets, ears, strict=True)]
    for number in (0, 2, 3):
        hub.leave(topics[number], ears[number])
    hub.join(targets[3], ears[3])
    index.services.apply(Service(("ns", "web"), (), ()))
    hub.facts_changed()
    await until(lambda: ears[3].woken == 1)
    assert [ear.woken for ear in ears] == [0, 1, 0, 1]

    hub.leave(topics[1], ears[1])
    hub.leave(hub.join(targets[3], ears[3]), ears[3])
    assert len(hub) == 0
    hub.join(targets[0], ears[0])
    index.services.delete(("ns", "web"))
    hub.facts_changed()
    await until(lambda: ears[0].woken == 1)
    assert [ear.woken for ear in ears] == [1, 1, 0, 1]
