"""The public API's questions and who answers them: each view takes query parameters and returns a struct."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec
from weft_kube.api import KubeApi

from weft_web import diagnosis, edges, history, identities, policies, routes, sides, stat, topology, workload
from weft_web.catalog import Catalog
from weft_web.check import checks
from weft_web.faults import bad_parameter
from weft_web.heard import unheard
from weft_web.mesh import Mesh
from weft_web.model import (
    Checks,
    Edges,
    History,
    Identities,
    Inbound,
    Names,
    Outbound,
    Policies,
    Problems,
    Ref,
    Routes,
    Stat,
    Topology,
    Version,
    Workload,
)
from weft_web.prometheus import Prometheus, known
from weft_web.promql import age
from weft_web.question import MIN_WINDOW, SERVICE_ACCOUNT, Question, parse

Query = Mapping[str, str]
Answer = TypeVar("Answer", Edges, Routes, Inbound, Outbound, Topology, Workload, Identities)


@dataclass(slots=True)
class Views:
    """All views over one catalog and one Prometheus."""

    api: KubeApi
    catalog: Catalog
    prometheus: Prometheus
    version: Version
    mesh: Mesh
    by_name: dict[str, Callable[[Query], Awaitable[msgspec.Struct]]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_name = {
            "namespaces": self.namespaces,
            "names": self.names,
            "stat": self.stat,
            "edges": self.edges,
            "routes": self.routes,
            "inbound": self.inbound,
            "outbound": self.outbound,
            "topology": self.topology,
            "workload": self.workload,
            "history": self.history,
            "identities": self.identities,
            "problems": self.problems,
            "policies": self.policies,
            "check": self.check,
            "version": self.tell_version,
        }

    async def namespaces(self, query: Query) -> Stat:
        """Every namespace with its traffic."""
        question = await self._seen(parse({**query, "kind": "namespace"}))
        return await stat.stat(question, self.catalog, self.prometheus)

    async def names(self, query: Query) -> Names:
        """Objects of one or several kinds, without asking Prometheus."""
        parsed = [_plain({**query, "kind": kind}) for kind in dict.fromkeys(query.get("kind", "deployment").split(","))]
        found = ((one.kind.name, obj.key) for one in parsed for obj in self.catalog.of(one.kind.name, one.namespace))
        return Names([Ref(key[0] or key[1], kind, key[1]) for kind, key in found])

    async def stat(self, query: Query) -> Stat:
        """Objects of one or several kinds with their traffic: as their own proxies saw it come in, or with a peer."""
        kinds = query.get("kind", "deployment").split(",")
        parsed = [parse({**query, "kind": kind}) for kind in dict.fromkeys(kinds)]
        window = (await self._seen(parsed[0])).window
        questions = [replace(question, window=window) for question in parsed]
        return await stat.stats(questions, self.catalog, self.prometheus)

    async def edges(self, query: Query) -> Edges:
        """Who talks with whom, by which identity."""
        question = await self._one(query)
        found = edges.edges(question, self.catalog, self.prometheus, self.mesh.trust_domain)
        return await self._told(question, found)

    async def routes(self, query: Query) -> Routes:
        """An object's requests by route and Service, as its proxies sent them."""
        question = await self._seen(_plain(query, "to", "to_namespace"))
        return await self._told(question, routes.routes(question, self.prometheus))

    async def inbound(self, query: Query) -> Inbound:
        """What objects receive, by route and client."""
        question = await self._one(query)
        return await self._told(question, sides.inbound(question, self.catalog, self.prometheus))

    async def outbound(self, query: Query) -> Outbound:
        """What objects send, by Service, route and backend, with retries and timeouts."""
        question = await self._one(query)
        return await self._told(question, sides.outbound(question, self.catalog, self.prometheus))

    async def topology(self, query: Query) -> Topology:
        """A namespace's workloads and what flows between them and their neighbours."""
        question = await self._one(query)
        found = topology.topology(question, self.catalog, self.prometheus, self.mesh.trust_domain)
        return await self._told(question, found)

    async def workload(self, query: Query) -> Workload:
        """One object: its traffic, pods, neighbours, routes and identities."""
        question = await self._one(query)
        found = workload.workload(question, self.catalog, self.prometheus, self.mesh.trust_domain)
        return await self._told(question, found)

    async def history(self, query: Query) -> History:
        """One object's golden signals over time, and its rollouts."""
        return await history.history(_plain({"window": "30m", **query}), self.catalog, self.prometheus)

    async def identities(self, query: Query) -> Identities:
        """The trust chain, each workload's identity, and what is not encrypted."""
        question = await self._one(query)
        found = identities.identities(question, self.catalog, self.prometheus, self.api, self.mesh)
        return await self._told(question, found)

    async def problems(self, query: Query) -> Problems:
        """What is wrong, worst first, with the most likely cause."""
        return await diagnosis.problems(await self._one(query), self.catalog, self.prometheus, self.mesh)

    async def policies(self, query: Query) -> Policies:
        """What policies refused, or would, and what left the mesh."""
        return await policies.policies(await self._one(query), self.prometheus)

    async def check(self, _: Query) -> Checks:
        """Health of the control plane, Prometheus and the proxies' versions."""
        return await checks(self.catalog, self.prometheus, self.mesh.namespace, self.mesh.version)

    async def _told(self, question: Question, asked: Awaitable[Answer]) -> Answer:
        """The answer, with a warning where nobody is heard who would tell."""
        answer, unknown = await asyncio.gather(asked, unheard(question, self.catalog, self.prometheus))
        answer.warnings += [warning for warning in unknown if warning not in answer.warnings]
        return answer

    async def _one(self, query: Query) -> Question:
        """A question of a view that is not `stat`."""
        return await self._seen(_plain(query))

    async def _seen(self, question: Question) -> Question:
        """Over no more time than Prometheus has looked at: what it has not seen would count as nothing."""
        found, _ = await known(self.prometheus.query(age(question.window)), [])
        return replace(question, window=max(MIN_WINDOW, int(found[0].value))) if found else question

    async def tell_version(self, _: Query) -> Version:
        """Web's version, and where Grafana is."""
        return self.version


def _plain(query: Query, *taken: str) -> Question:
    """A question without what only `stat` takes, but for these."""
    for name in ("to", "from", "to_namespace", "from_namespace", "of", "selector"):
        if name in query and name not in taken:
            raise bad_parameter(name, "is not known here", "`stat` takes it")
    question = parse(query)
    if question.kind is SERVICE_ACCOUNT:
        raise bad_parameter("kind", "serviceaccount is known to `stat` only", "ask for the workloads that run under it")
    return question
