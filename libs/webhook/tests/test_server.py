"""The webhook over HTTP."""

import io

import msgspec
import pytest
from weft_testkit.listen import asking
from weft_webhook.review import Request, Response
from weft_webhook.server import MAX_BODY, Review, webhook_routes

REVIEW = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u1", "name": "web"}}


def deep(levels: int) -> bytes:
    """A review whose object is so many lists in each other."""
    obj = b"[" * levels + b"]" * levels
    return b'{"apiVersion":"admission.k8s.io/v1","request":{"uid":"u1","object":' + obj + b"}}"


async def post(review: Review, body: bytes, *, fail_open: bool = False) -> tuple[int, bytes]:
    """Status and body of one review."""
    async with asking(webhook_routes("/review", review, fail_open=fail_open), MAX_BODY) as client:
        response = await client.post("/review", data=io.BytesIO(body))
        return response.status, await response.read()


def refuse(request: Request) -> Response:
    """A reviewer that refuses everything by name."""
    return Response(False, message=f"{request.name} may not")


async def refuse_later(request: Request) -> Response:
    """The same as a coroutine."""
    return refuse(request)


def stumble(_: Request) -> Response:
    """A reviewer with a fault of its own."""
    raise KeyError("spec")


@pytest.mark.parametrize("review", [refuse, refuse_later])
async def test_a_review_is_answered(review: Review) -> None:
    """Plain functions and coroutines alike."""
    status, body = await post(review, msgspec.json.encode(REVIEW))
    assert (status, msgspec.json.decode(body)["response"]["status"]["message"]) == (200, "web may not")


@pytest.mark.parametrize("fail_open", [True, False])
async def test_a_fault_of_the_reviewer_follows_the_policy(fail_open: bool) -> None:
    """The API server gets an answer either way: allowed with a warning, or refused."""
    status, body = await post(stumble, msgspec.json.encode(REVIEW), fail_open=fail_open)
    assert (status, msgspec.json.decode(body)["response"]["allowed"]) == (200, fail_open)
    assert b"weft could not review this object: KeyError" in body


async def test_a_malformed_body_is_a_bad_request() -> None:
    """400 with the reason; the reviewer is not called."""
    status, body = await post(stumble, b"{")
    assert (status, body[:24]) == (400, b"not an AdmissionReview: ")


async def test_an_oversized_body_is_not_read() -> None:
    """413 above 4 MiB."""
    status, _ = await post(stumble, b" " * (MAX_BODY + 1))
    assert status == 413


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), (b" " * (MAX_BODY + 1), 413), (deep(10_000), 400), (msgspec.json.encode(REVIEW), 200)],
    ids=["garbage", "no object", "too large", "10,000 deep", "a review"],
)
async def test_what_is_no_review_is_counted_and_the_next_one_served(body: bytes, status: int) -> None:
    """Each has a status; the server goes on."""
    counted: list[int] = []
    routes = webhook_routes("/review", refuse, fail_open=False, on_malformed=lambda: counted.append(1))
    async with asking(routes, MAX_BODY) as client:
        answer = await client.post("/review", data=io.BytesIO(body))
        again = await client.post("/review", data=msgspec.json.encode(REVIEW))
        assert (answer.status, again.status, len(counted)) == (status, 200, int(status != 200))


async def test_a_megabyte_of_annotations_is_reviewed_like_any() -> None:
    """etcd takes no larger object."""
    pod = {"metadata": {"annotations": {"a": "x" * 2**20}}}
    review = REVIEW | {"request": {"uid": "u1", "name": "web", "object": pod, "oldObject": pod}}
    assert (await post(refuse, msgspec.json.encode(review)))[0] == 200
