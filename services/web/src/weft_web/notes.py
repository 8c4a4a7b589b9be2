"""Why a row has no numbers: one sentence that names the cause and, where there is one, the next step. Pure."""

from collections.abc import Mapping, Sequence

from weft_web.model import Meshed, Row
from weft_web.question import Peer

SHORT = {"deployment": "deploy", "statefulset": "sts", "daemonset": "ds", "cronjob": "cj", "replicaset": "rs"}
APART = ("kube-system", "weft")
"""Namespaces whose pods the injector never changes."""

RESTARTED = ("deployment", "statefulset", "daemonset")


def workload(row: Row, window: int, scraped: bool | None) -> str:
    """For a row without requests. `scraped`: has Prometheus reached a proxy; None when it knows of none."""
    meshed = row.meshed or Meshed(0, 0)
    if meshed.running == 0:
        return "no running pods"
    if meshed.pods == 0:
        if row.namespace in APART:
            return f"not in the mesh: pods of {row.namespace} get no proxy by injection"
        return f"not in the mesh: no proxy in any pod ({_inject(row.kind, row.namespace, row.name)})"
    if scraped is None:
        return "Prometheus has no data yet: it has not scraped any of its proxies"
    if not scraped:
        return "Prometheus cannot scrape its proxies (port 4191): see its page of targets"
    return f"no traffic in the last {window} s"


def peer(window: int) -> str:
    """For a row of traffic with one peer."""
    return f"no traffic with that peer in the last {window} s"


def partly(scraped: float | None) -> str:
    """When some of the proxies could not be scraped, by the share of those that were; empty when all or none were."""
    if not scraped or scraped >= 1:
        return ""
    return f"Prometheus cannot scrape {1 - scraped:.0%} of the proxies (port 4191): what they saw is missing"


def silent(peer: Peer, meshed: Meshed) -> str:
    """Why a client's proxies tell nothing; empty if they do."""
    if meshed.pods:
        return ""
    if not meshed.running:
        return f"{peer.kind} {peer.name!r} has no running pods"
    return f"{peer.kind} {peer.name!r} is not in the mesh: nobody counts what it sends"


def unscraped(peer: Peer, scraped: float | None) -> str:
    """Why numbers that a client's proxies have are not known. `scraped`: None when Prometheus knows of none."""
    where = f"namespace {peer.namespace}" if peer.namespace else "any namespace"
    what = f"{peer.kind} {peer.name!r}" if peer.name else where
    if scraped is None:
        return f"Prometheus has no data yet of {what}: it has not scraped any of its proxies"
    return f"Prometheus cannot scrape the proxies of {what} (port 4191): see its page of targets"


def service(window: int) -> str:
    """For a Service without requests: it is seen by its clients' proxies only."""
    return f"no client in the mesh sent it requests in the last {window} s"


def denied(counts: Mapping[str, float], window: int) -> str:
    """Of calls that policies denied, and those that drafts in audit would have; empty without any."""
    said = (("enforce", "denied"), ("audit", "would be denied, were policies in audit enforced"))
    told = [f"{counts[mode]:.0f} calls {words}" for mode, words in said if round(counts.get(mode, 0))]
    return f"{' and '.join(told)}, in the last {window} s" if told else ""


OUTBOUND = {
    "true": "",
    "no_identity": "the server is not in the mesh, or takes this port past its proxy",
    "loopback": "it stays within the pod",
    "passthrough": "the application makes its own TLS, which the proxy leaves as it is",
}
INBOUND = OUTBOUND | {"no_identity": "the client is not in the mesh: weft inject it"}


UNREACHED = "no server was reached, so the proxy answered itself; or the server is not in the mesh"
"""Of requests to a Service that no endpoint is known to have got."""


def no_mtls(tls: str, *, inbound: bool = False) -> str:
    """Why traffic is not encrypted by the mesh, from the label `tls`; empty when it is."""
    return (INBOUND if inbound else OUTBOUND).get(tls, f"the proxy says {tls!r}")


def _inject(kind: str, namespace: str, name: str) -> str:
    if kind in RESTARTED:
        return f"kubectl get -n {namespace} {SHORT[kind]}/{name} -o yaml | weft inject - | kubectl apply -f -"
    if kind == "namespace":
        return f"kubectl get -n {namespace} deploy -o yaml | weft inject - | kubectl apply -f -"
    return "weft inject its workload, then restart it"


def counted_elsewhere(kind: str, workloads: Sequence[tuple[str, str]]) -> list[str]:
    """Why calls of a ReplicaSet or Job are not known, by kind and name of the workloads that its pods count for."""
    others = [f"{other}/{name}" for other, name in workloads if other != kind]
    return [f"calls are counted by workload, not by {kind}: ask for {listed(others)}"] if others else []


def listed(texts: Sequence[str]) -> str:
    """Three of them, and how many more there are."""
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")
