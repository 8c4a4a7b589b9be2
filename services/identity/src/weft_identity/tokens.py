"""Whose token is this? Kubernetes says so by a TokenReview; nothing in the token is believed otherwise."""

import asyncio
import re
from dataclasses import dataclass

import msgspec
from weft_kube.api import ApiError, KubeApi
from weft_kube.names import TOKEN_AUDIENCE

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
POD_UID = "authentication.kubernetes.io/pod-uid"
REVIEW_SECONDS = 5.0
MAX_TOKEN = 16384

_ACCOUNT = re.compile(r"system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})")


class TokenRefusedError(Exception):
    """Kubernetes does not vouch for the token; the message never holds the token."""


class ReviewUnavailableError(Exception):
    """Kubernetes could not be asked."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Whom a token belongs to, and the pod that it is bound to."""

    namespace: str
    name: str
    pod_uid: str


class _User(msgspec.Struct):
    username: str = ""
    extra: dict[str, list[str]] = {}


class Status(msgspec.Struct):
    """status of a TokenReview."""

    authenticated: bool = False
    user: _User = msgspec.field(default_factory=_User)
    audiences: list[str] = []
    error: str = ""


class _TokenReview(msgspec.Struct):
    status: Status = msgspec.field(default_factory=Status)


def account(status: Status) -> ServiceAccount:
    """The service account that the API server found; TokenRefusedError for anything else."""
    if not status.authenticated:
        raise TokenRefusedError(f"the token was refused: {status.error or 'not authenticated'}")
    if TOKEN_AUDIENCE not in status.audiences:
        raise TokenRefusedError(f"the token is not for the audience {TOKEN_AUDIENCE}")
    found = _ACCOUNT.fullmatch(status.user.username)
    if not found:
        raise TokenRefusedError("the token is not a service account's")
    pods = status.user.extra.get(POD_UID) or [""]
    if not pods[0]:
        raise TokenRefusedError("the token is bound to no pod: nobody could tell when its holder is gone")
    return ServiceAccount(found[1], found[2], pods[0])


async def review(api: KubeApi, token: str) -> ServiceAccount:
    """Asks Kubernetes whose token this is."""
    if not 0 < len(token) <= MAX_TOKEN:
        raise TokenRefusedError(f"the token has {len(token)} characters")
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [TOKEN_AUDIENCE]},
    }
    try:
        async with asyncio.timeout(REVIEW_SECONDS):
            answer = await api.create(PATH, body)
        return account(msgspec.json.decode(answer, type=_TokenReview).status)
    except TimeoutError:
        raise ReviewUnavailableError(f"Kubernetes gave no TokenReview within {REVIEW_SECONDS:g} s") from None
    except (ApiError, OSError, msgspec.DecodeError) as error:
        raise ReviewUnavailableError(f"Kubernetes gave no TokenReview: {error}") from None
