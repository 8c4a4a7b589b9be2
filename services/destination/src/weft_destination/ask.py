"""What would become of calls, for people who ask before they are made: JSON beside /metrics.

    POST /debug/access   {"calls": [{"namespace": "shop", "pod": "menu-1", "port": 8080, "identity": "spiffe://…",
                                     "ip": "10.0.0.1", "method": "GET", "path": "/menu"},
                                    {"namespace": "shop", "pod": "menu-1", "port": 8080, "account": "shop/cart",
                                     "any_request": true, "any_address": true}],
                          "drafts": [an AccessPolicy, …]}
      {"verdicts": [{"enforced": {"allowed": true, "by": "shop/menu"}, "audited": {…}, "drafted": {…}}],
       "faults": ["shop/menu: spec.rules is empty"]}

By the same tables that proxies have. `audited`: were policies in audit enforced; `drafted`: were the drafts in force
too. A call without method, or to an opaque port, is a connection that is not HTTP; without identity one without mesh
TLS, which lets in none but workloads of the mesh. A pod that is unknown, or has no proxy, gives null; to a port of its
skip-inbound-ports everybody comes. `account` is another way to say `identity`. Of `any_request` and `any_address`,
`allowed` is null where it depends on the request or on where it comes from, and `among` has all that may decide.
Answered like /debug/… of `inspect.py`.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import msgspec
from weft_http.message import Refused, Request, Response
from weft_http.routes import Routes
from weft_kube.names import spiffe_id
from weft_runtime.admin import from_loopback

from weft_destination.index import Index
from weft_destination.model import Inbound, InboundTarget, Protocol
from weft_destination.policy.evaluate import NOTHING, Attempt, Verdict, decide, foresee, namespace_of
from weft_destination.policy.model import Access, Decision, Policy
from weft_destination.policy.read import read_policy
from weft_destination.policy.state import Policies

Json = dict[str, Any]

MAX_CALLS = 20_000
MAX_BODY = 2**20
"""Of a question, in bytes; the server keeps to it."""

PAST = asdict(Verdict(allowed=True, by="the pod's skip-inbound-ports: no proxy is asked"))


class Call(msgspec.Struct):
    """A call that might be made."""

    namespace: str
    pod: str
    port: int
    identity: str = ""
    ip: str = ""
    account: str = ""
    method: str = ""
    path: str = ""
    any_request: bool = False
    any_address: bool = False


class Meta(msgspec.Struct, frozen=True):
    """metadata of a policy."""

    namespace: str = ""
    name: str = ""


class Draft(msgspec.Struct):
    """A policy that is not in the cluster yet."""

    metadata: Meta = Meta()
    spec: Json | None = None


class Question(msgspec.Struct):
    """Calls, and policies that are not in the cluster yet."""

    calls: list[Call]
    drafts: list[Draft] = []


def askable(routes: Routes, index: Index, trust_domain: str) -> Routes:
    """The routes with /debug/access."""

    async def ask(request: Request) -> Response:
        try:
            question = msgspec.json.decode(request.body(), type=Question)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Refused(400, f"{error}\n") from None
        except RecursionError:
            raise Refused(400, "nested too deep\n") from None
        if len(question.calls) > MAX_CALLS:
            raise Refused(400, f"{len(question.calls)} calls; at most {MAX_CALLS} are judged at once\n")
        body = msgspec.json.encode(answered(question, index, trust_domain))
        return Response(body, content_type="application/json")

    routes.add("POST", "/debug/access", from_loopback(ask))
    return routes


def answered(question: Question, index: Index, trust_domain: str) -> Json:
    """A verdict for each call."""
    drafts = [_draft(draft, trust_domain) for draft in question.drafts]
    supposed = index.access.supposing(drafts) if drafts else None
    faults = [f"{draft.name}: {fault}" for draft in drafts for fault in draft.faults]
    return {"verdicts": list(_judged(question.calls, index, supposed, trust_domain)), "faults": faults}


def _draft(draft: Draft, trust_domain: str) -> Policy:
    key = (draft.metadata.namespace or "default", draft.metadata.name or "draft")
    return replace(read_policy(key, draft.spec or {}, trust_domain), audit=False)


def _judged(calls: Iterable[Call], index: Index, supposed: Policies | None, trust_domain: str) -> Iterable[Json | None]:
    for call in calls:
        pod = index.pods.rows.get((call.namespace, call.pod))
        inbound = index.answer(InboundTarget(call.namespace, call.pod, call.port))
        if not pod or not pod.access or not pod.access.meshed or not isinstance(inbound, Inbound):
            yield None
            continue
        if call.port in pod.not_intercepted:
            yield dict.fromkeys(("enforced", "audited", *(["drafted"] if supposed else [])), PAST)
            continue
        opaque = inbound.protocol is Protocol.OPAQUE
        identity = spiffe_id(trust_domain, *call.account.split("/", 1)) if "/" in call.account else call.identity
        namespace = namespace_of(identity, trust_domain)
        attempt = Attempt(identity, _packed(call.ip), call.method, call.path, opaque, namespace)
        access = inbound.access or Access()
        decisions = {"enforced": access.enforced, "audited": access.audited or access.enforced}
        if supposed:
            drafted = supposed.access(call.namespace, pod.access, call.port)
            decisions["drafted"] = drafted.enforced if drafted else None
        yield {name: _verdict(one or NOTHING, attempt, call) for name, one in decisions.items()}


def _verdict(decision: Decision, attempt: Attempt, call: Call) -> Json:
    if attempt.identity and not attempt.namespace:
        return asdict(Verdict(allowed=False, by=f"mesh TLS, to which {attempt.identity} is no identity"))
    if call.any_request or call.any_address:
        found = foresee(decision, attempt, any_request=call.any_request, any_address=call.any_address)
        return {"allowed": found.allowed, "by": found.by[0], "among": found.by}
    return asdict(decide(decision, attempt))


def _packed(ip: str) -> bytes:
    try:
        return ipaddress.ip_address(ip).packed
    except ValueError:
        return b""
