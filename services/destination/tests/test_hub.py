"""Topics: what changed is encoded once, and told at a pace that leaves time for others."""

import asyncio

from weft_destination.hub import Hub, Topic
from weft_destination.index import Index
from weft_destination.model import OutboundTarget, Protocol, Service, ServicePort
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
