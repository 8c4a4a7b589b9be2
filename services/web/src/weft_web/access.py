"""Who asks, and may they? For a server that others than its own pod can reach: Kubernetes knows tokens and rights.

A caller shows a Kubernetes token. A namespace's numbers are for who may list its pods, those of all namespaces for who
may list all pods; a tap is for who may watch `<kind>/tap` of tap.weft.dev. Answers of Kubernetes hold for a minute.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from weft_http.message import Request
from weft_kube.api import FAILURES, KubeApi
from weft_kube.workloads import parse_kind

from weft_web.faults import Fault
from weft_web.question import ALL
from weft_web.shared import Shared

TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SECONDS = 60.0
KEPT = 10_000
"""Answers that are kept at most."""
PARALLEL = 8
WAITING = 200
"""Questions at once, and those that may wait: whoever sends made-up tokens asks as much as he likes."""

OPEN = ("version", "openapi.json")
"""Paths of the API that are no namespace's: any user may ask."""


class User(msgspec.Struct, frozen=True):
    """As Kubernetes knows the token."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}


class _TokenStatus(msgspec.Struct):
    authenticated: bool = False
    user: User = msgspec.field(default_factory=User)


class _TokenReview(msgspec.Struct):
    status: _TokenStatus


class _AccessStatus(msgspec.Struct):
    allowed: bool = False
    reason: str = ""


class _AccessReview(msgspec.Struct):
    status: _AccessStatus


@dataclass(frozen=True, slots=True)
class Right:
    """What a request needs; an empty namespace: in all of them."""

    namespace: str
    verb: str
    group: str
    resource: str
    subresource: str = ""
    name: str = ""

    def text(self) -> str:
        """As people say it."""
        what = "/".join(filter(None, (self.resource, self.subresource)))
        return f"{self.verb} {what} in {f'namespace {self.namespace}' if self.namespace else 'all namespaces'}"


def needed(path: str, query: Mapping[str, str], mesh: str) -> list[Right]:
    """The rights for a path of the API, none where any user may ask. The health of the mesh is its namespace's."""
    if path in OPEN:
        return []
    if path == "tap":
        kind = _plural(query.get("kind", "namespace"))
        name = query.get("namespace", "") if kind == "namespaces" else query.get("name", "")
        return [Right(query.get("namespace", ""), "watch", "tap.weft.dev", kind, "tap", name)]
    view = query.get("view", "stat") if path == "stream" else path
    namespace = mesh if view == "check" else query.get("namespace", ALL)
    spaces = dict.fromkeys([ALL if view == "namespaces" else namespace, *_peers(query)])
    return [Right("" if space == ALL else space, "list", "", "pods") for space in spaces]


def _peers(query: Mapping[str, str]) -> Iterator[str]:
    """Other namespaces whose proxies are asked."""
    for side in ("to", "from"):
        kind, _, name = query.get(side, "").partition("/")
        if _plural(kind) == "namespaces":
            yield name
        elif f"{side}_namespace" in query:
            yield query[f"{side}_namespace"]


def _plural(word: str) -> str:
    try:
        return parse_kind(word).plural
    except ValueError:
        return word  # the tap refuses it


class Access:
    """Asks Kubernetes about callers."""

    def __init__(self, api: KubeApi, mesh: str) -> None:
        self._api = api
        self._mesh = mesh
        self._held: dict[bytes, tuple[float, Any]] = {}
        """The oldest first."""
        self._asking = Shared(Fault, longest=0.0)
        self._gate = asyncio.Semaphore(PARALLEL)
        self._waiting = 0

    async def check(self, request: Request) -> None:
        """Returns when the caller may; else Fault 401 or 403."""
        user = await self.user(request.headers.get("Authorization", ""))
        for right in needed(request.path.removeprefix("/api/v1/").removesuffix("/stream"), request.query, self._mesh):
            if not await self._may(user, right):
                raise Fault(403, "forbidden", f"{user.username} may not {right.text()}", "ask for namespaces of yours")

    async def user(self, header: str) -> User:
        """The user of a header `Authorization: Bearer …`; Fault 401 when there is none."""
        scheme, _, token = header.partition(" ")
        hint = "send `Authorization: Bearer TOKEN`; a token: kubectl create token SERVICE-ACCOUNT"
        if scheme.lower() != "bearer" or not token.strip():
            raise Fault(401, "unauthenticated", "this server wants a Kubernetes token", hint)
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token.strip()}}
        review: _TokenReview = await self._ask(TOKEN_REVIEWS, body, _TokenReview)
        if not review.status.authenticated:
            raise Fault(401, "unauthenticated", "Kubernetes does not know this token, or it has ended", hint)
        return review.status.user

    async def _may(self, user: User, right: Right) -> bool:
        attributes = {name: getattr(right, name) for name in ("namespace", "verb", "group", "resource", "subresource")}
        spec = {
            "user": user.username,
            "uid": user.uid,
            "groups": user.groups,
            "extra": user.extra,
            "resourceAttributes": attributes | {"name": right.name},
        }
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        review: _AccessReview = await self._ask(ACCESS_REVIEWS, body, _AccessReview)
        return review.status.allowed

    async def _ask(self, path: str, body: dict[str, Any], kind: type[Any]) -> Any:
        """The answer that is held; else one that all who ask the same meanwhile wait for."""
        key = hashlib.sha256(msgspec.json.encode(body)).digest()
        if (held := self._held.get(key)) and held[0] > asyncio.get_running_loop().time():
            return held[1]
        if self._waiting >= WAITING:
            raise Fault(503, "too_many_callers", f"{WAITING} questions to Kubernetes wait", "try again in a moment")
        return await self._asking.get(key, lambda: self._answer(key, path, body, kind))

    async def _answer(self, key: bytes, path: str, body: dict[str, Any], kind: type[Any]) -> Any:
        self._waiting += 1
        try:
            async with self._gate:
                answer = await self._api.ask(path, body, kind)
        except FAILURES as error:
            raise Fault(503, "kubernetes_unreachable", f"Kubernetes cannot be asked: {error}", "try again") from error
        finally:
            self._waiting -= 1
        self._hold(key, answer)
        return answer

    def _hold(self, key: bytes, answer: Any) -> None:
        self._held.pop(key, None)
        self._held[key] = (asyncio.get_running_loop().time() + SECONDS, answer)
        while len(self._held) > KEPT:
            del self._held[next(iter(self._held))]
