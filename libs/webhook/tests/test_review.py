"""The AdmissionReview protocol: what the API server sends and what it gets."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_webhook.review import MAX_MESSAGE, Request, Response, ReviewError, decode, encode


def review(**request: Any) -> bytes:
    """A review as the API server sends it."""
    return msgspec.json.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


def test_a_request_is_read() -> None:
    """Named fields are decoded, the object stays bytes."""
    request = decode(
        review(
            uid="u1",
            operation="CREATE",
            kind={"group": "", "version": "v1", "kind": "Pod"},
            namespace="shop",
            object={"a": 1},
            oldObject=None,
            userInfo={"username": "ann", "groups": ["dev"]},
            dryRun=True,
        )
    )
    facts = (request.uid, request.operation, request.kind.kind, request.user_info.username, request.dry_run)
    assert facts == ("u1", "CREATE", "Pod", "ann", True)
    assert (bytes(request.object), bytes(request.old_object)) == (b'{"a":1}', b"null")


def test_an_allowed_answer_carries_its_patch() -> None:
    """JSONPatch in base64, warnings beside it, no status."""
    patch = [{"op": "add", "path": "/metadata/labels/a", "value": "b"}]
    answer = msgspec.json.decode(encode("u1", Response(True, patch, ["old annotation"])))
    response = answer["response"]
    assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert msgspec.json.decode(base64.b64decode(response.pop("patch"))) == patch
    assert response == {"uid": "u1", "allowed": True, "patchType": "JSONPatch", "warnings": ["old annotation"]}


def test_a_refusal_says_why() -> None:
    """Message and code go into the status that kubectl shows."""
    answer = msgspec.json.decode(encode("u1", Response(False, message="no", code=422)))
    assert answer["response"] == {"uid": "u1", "allowed": False, "status": {"message": "no", "code": 422}}


def test_messages_are_cut() -> None:
    """They may quote what somebody wrote; users still see where it begins."""
    answer = msgspec.json.decode(encode("u1", Response(False, warnings=["w" * 9999], message="m" * 9999)))["response"]
    assert [len(answer["status"]["message"]), len(answer["warnings"][0])] == [MAX_MESSAGE, MAX_MESSAGE]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not an AdmissionReview"),
        (b"[]", "not an AdmissionReview"),
        (b"\xff\xfe", "not an AdmissionReview"),
        (b'{"apiVersion":"admission.k8s.io/v1"}', "request"),
        (b'{"apiVersion":"admission.k8s.io/v1","request":{}}', "uid"),
        (b'{"apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"u"}}', "v1beta1"),
        (b'{"request":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not an AdmissionReview"),
        (b'{"apiVersion":"admission.k8s.io/v1","request":{"uid":"u","object":' + b"[" * 10_000, "nested too deeply"),
    ],
)
def test_what_is_no_review_is_refused(body: bytes, reason: str) -> None:
    """Nothing, another shape, another version, and JSON too deep to read."""
    with pytest.raises(ReviewError, match=reason):
        decode(body)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_noise_never_crashes_the_parser(body: bytes) -> None:
    """Any bytes give a request or ReviewError."""
    try:
        request: Request | None = decode(body)
    except ReviewError:
        request = None
    assert request is None
