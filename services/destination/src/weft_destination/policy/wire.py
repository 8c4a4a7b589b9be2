"""Access as discovery/v1 tells it."""

from collections.abc import Iterable
from typing import cast

from weft_api.discovery.v1 import discovery_pb2 as pb

from weft_destination.policy.model import Access, Call, Client, Decision, Egress, Limit, Network, Path, Rule


def inbound(access: Access, into: pb.Inbound) -> None:
    """Adds what a port's proxy has to do."""
    if access.enforced:
        into.enforced.CopyFrom(_policy(access.enforced))
    if access.audited:
        into.audited.CopyFrom(_policy(access.audited))
    into.rate_limits.extend(map(_limit, access.limits))
    into.unlimited.extend(_calls(access.unlimited))


def egress(found: Egress) -> pb.Egress:
    """What may be called outside the mesh."""
    return pb.Egress(name=found.name, hosts=found.hosts, networks=map(_network, found.networks), audit=found.audit)


def _policy(decision: Decision) -> pb.Policy:
    default = cast("pb.Default.ValueType", decision.default.value)
    return pb.Policy(rules=map(_rule, decision.rules), default=default, default_name=decision.default_name)


def _rule(rule: Rule) -> pb.Rule:
    return pb.Rule(name=rule.name, deny=rule.deny, clients=_clients(rule.clients), calls=_calls(rule.calls))


def _limit(limit: Limit) -> pb.RateLimit:
    return pb.RateLimit(
        name=limit.name,
        clients=_clients(limit.clients),
        calls=_calls(limit.calls),
        requests_per_second=limit.requests_per_second,
        burst=limit.burst,
        per_client=limit.per_client,
    )


def _clients(clients: Iterable[Client]) -> list[pb.Client]:
    return [_client(client) for client in clients]


def _client(client: Client) -> pb.Client:
    if client.network:
        return pb.Client(network=_network(client.network))
    if client.identity:
        return pb.Client(identity=client.identity)
    return pb.Client(namespace=client.namespace) if client.namespace else pb.Client(authenticated=True)


def _calls(calls: Iterable[Call]) -> list[pb.CallMatch]:
    return [_call(call) for call in calls]


def _call(call: Call) -> pb.CallMatch:
    match call.kind:
        case Path.EXACT:
            return pb.CallMatch(method=call.method, exact=call.path)
        case Path.PREFIX:
            return pb.CallMatch(method=call.method, prefix=call.path)
        case Path.TEMPLATE:
            return pb.CallMatch(method=call.method, template=call.path)
        case Path.ANY:
            return pb.CallMatch(method=call.method)


def _network(network: Network) -> pb.Network:
    return pb.Network(ip=network.ip, prefix_length=network.prefix_length, ports=network.ports)
