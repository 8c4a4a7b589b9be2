"""Requests to the Kubernetes API: one session, JSON in and out, errors that carry the server's reason."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from weft_http.client import Answer, Client

T = TypeVar("T")

IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ApiError(Exception):
    """The API server refused: `status` is the HTTP status, `reason` the Status object's ("NotFound", "Expired")."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class UnreadableError(OSError):
    """The API server's answer is not what was asked for, or nests too deep."""


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises, whatever came."""

FAILURES = (ApiError, OSError)
"""All that a request raises. It may be tried again."""


class _Status(msgspec.Struct):
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """How to reach an API server. `token_file` is read again for every request: kubelet rotates it."""

    url: str
    ca_file: Path | None = None
    token_file: Path | None = None

    @classmethod
    def in_cluster(cls, host: str, port: str, folder: Path = IN_CLUSTER) -> Self:
        """From KUBERNETES_SERVICE_HOST and _PORT and the mounted service account."""
        bracketed = f"[{host}]" if ":" in host else host
        return cls(f"https://{bracketed}:{port}", folder / "ca.crt", folder / "token")


class KubeApi:
    """One session with the API server. Use as an async context manager."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        ca_file = self._cluster.ca_file
        self._client = Client(self._cluster.url, ssl.create_default_context(cafile=ca_file) if ca_file else None)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client:
            self._client.close()

    def _headers(self, content_type: str | None) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if content_type:
            headers["Content-Type"] = content_type
        if self._cluster.token_file:
            headers["Authorization"] = f"Bearer {self._cluster.token_file.read_text().strip()}"
        return headers

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        params: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> AsyncIterator[Answer]:
        """An open response, checked; ApiError when the server refuses, OSError when it cannot be asked."""
        if self._client is None:
            raise RuntimeError("KubeApi is used outside its `async with`")
        target = quote(path, safe="/%:@") + (f"?{urlencode(params)}" if params else "")
        data = b"" if body is None else msgspec.json.encode(body)
        headers = self._headers(content_type if data else None)
        async with self._client.request(method, target, headers, data) as response:
            if response.status >= 400:
                raise refusal(response.status, await response.read())
            yield response

    async def request(
        self,
        method: str,
        path: str,
        params: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> bytes:
        """The whole answer, within 30 s."""
        async with asyncio.timeout(30), self.stream(method, path, params, body, content_type) as response:
            return await response.read()

    async def get(self, path: str, kind: type[T], **params: str) -> T:
        """One object, decoded to the fields of `kind`."""
        return decoded(await self.request("GET", path, params), kind)

    async def create(self, path: str, body: Any) -> bytes:
        """POST of an object or a token request."""
        return await self.request("POST", path, body=body)

    async def ask(self, path: str, body: Any, kind: type[T]) -> T:
        """POST of a review: what the API server has added, decoded to the fields of `kind`."""
        return decoded(await self.create(path, body), kind)

    async def apply(self, path: str, body: Any, manager: str) -> bytes:
        """Server-side apply, forced: `manager` owns the fields it names (KEP-555)."""
        params = {"fieldManager": manager, "force": "true"}
        return await self.request("PATCH", path, params, body, "application/apply-patch+yaml")

    async def merge(self, path: str, body: Any) -> bytes:
        """JSON merge patch (RFC 7386)."""
        return await self.request("PATCH", path, None, body, "application/merge-patch+json")


def decoded(answer: bytes, kind: type[T]) -> T:
    """The fields of `kind`; UnreadableError when the answer has not got them."""
    try:
        return msgspec.json.decode(answer, type=kind)
    except UNREADABLE as error:
        raise UnreadableError(f"the API server's answer cannot be read: {error}") from error


def refusal(status: int, body: bytes) -> ApiError:
    """What a refusal's body says, a Status object if all is well."""
    try:
        answer = msgspec.json.decode(body, type=_Status)
        return ApiError(status, answer.reason or "Unknown", answer.message or "no message")
    except UNREADABLE:
        return ApiError(status, "Unknown", body[:200].decode(errors="replace"))
