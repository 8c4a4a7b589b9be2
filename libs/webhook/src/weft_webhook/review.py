"""The AdmissionReview protocol, admission.k8s.io/v1: a request in, an answer out; no I/O."""

import base64
from typing import Any

import msgspec
from msgspec import Raw, Struct, field

API_VERSION = "admission.k8s.io/v1"
NULL = Raw(b"null")
MAX_MESSAGE = 1_000
"""Characters of a message: it may quote what somebody wrote, and that may be a megabyte."""


class ReviewError(ValueError):
    """What came in is no AdmissionReview of v1; the message says why."""


class GroupVersionKind(Struct, frozen=True):
    """What kind an object is of."""

    kind: str = ""
    group: str = ""
    version: str = ""


class UserInfo(Struct, frozen=True):
    """Who asks the API server."""

    username: str = ""
    groups: list[str] = []


class Request(Struct, frozen=True, rename="camel"):
    """What is to be reviewed. Objects stay bytes: the reviewer decodes the fields it needs."""

    uid: str
    operation: str = ""
    """CREATE, UPDATE, DELETE or CONNECT."""
    kind: GroupVersionKind = GroupVersionKind()
    name: str = ""
    namespace: str = ""
    object: Raw = NULL
    old_object: Raw = NULL
    user_info: UserInfo = UserInfo()
    dry_run: bool = False


class Response(Struct, frozen=True):
    """The decision. `patch` is a list of JSON Patch operations; `message` tells a refused user why."""

    allowed: bool
    patch: list[dict[str, Any]] = []
    warnings: list[str] = []
    message: str = ""
    code: int = 403


class _Review(Struct, frozen=True, rename="camel"):
    request: Request
    api_version: str = ""


class _Status(Struct, frozen=True):
    message: str
    code: int


class _Answer(Struct, frozen=True, rename="camel", omit_defaults=True):
    uid: str
    allowed: bool
    patch_type: str = ""
    patch: str = ""
    warnings: list[str] = []
    status: _Status | None = None


class _Answered(Struct, frozen=True, rename="camel"):
    response: _Answer
    api_version: str = API_VERSION
    kind: str = field(default="AdmissionReview")


_REVIEW = msgspec.json.Decoder(_Review)


def decode(body: bytes) -> Request:
    """The request of a review; ReviewError when the body holds none."""
    try:
        review = _REVIEW.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReviewError(f"not an AdmissionReview: {error}") from None
    except RecursionError:
        raise ReviewError("not an AdmissionReview: nested too deeply") from None
    if review.api_version != API_VERSION:
        raise ReviewError(f"apiVersion is {review.api_version!r}, not {API_VERSION}")
    return review.request


def encode(uid: str, response: Response) -> bytes:
    """The review that answers the request `uid`."""
    patch = base64.b64encode(msgspec.json.encode(response.patch)).decode() if response.patch else ""
    status = None if response.allowed or not response.message else _Status(_cut(response.message), response.code)
    warnings = [_cut(warning) for warning in response.warnings]
    answer = _Answer(uid, response.allowed, "JSONPatch" if patch else "", patch, warnings, status)
    return msgspec.json.encode(_Answered(answer))


def _cut(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
