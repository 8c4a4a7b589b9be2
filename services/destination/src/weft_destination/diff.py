"""The difference between two sets of endpoints: for large sets far smaller than the set."""

from dataclasses import dataclass

from weft_destination.model import Endpoint, Endpoints


@dataclass(frozen=True, slots=True)
class Delta:
    """Endpoints that are new or changed, and addresses that are gone."""

    upserted: tuple[Endpoint, ...]
    removed: tuple[tuple[bytes, int], ...]

    def __len__(self) -> int:
        return len(self.upserted) + len(self.removed)


def diff(before: Endpoints, after: Endpoints) -> Delta:
    """What turns `before` into `after`; both exist."""
    old = {endpoint.address: endpoint for endpoint in before.endpoints}
    upserted = tuple(endpoint for endpoint in after.endpoints if old.pop(endpoint.address, None) != endpoint)
    return Delta(upserted, tuple(old))


def apply(delta: Delta, before: Endpoints) -> Endpoints:
    """What a proxy makes of a delta."""
    endpoints = {endpoint.address: endpoint for endpoint in before.endpoints}
    for address in delta.removed:
        endpoints.pop(address, None)
    endpoints.update((endpoint.address, endpoint) for endpoint in delta.upserted)
    return Endpoints.of(endpoints.values())
