"""Answers of the API server that are none: an error that callers expect, never another one."""

from typing import Any

import msgspec
import pytest
from weft_kube.api import FAILURES, ApiError, KubeApi, UnreadableError
from weft_kube.objects import Pod
from weft_testkit.fake_kube import FakeKube

PATH = "/api/v1/namespaces/ns/pods/web-1"
ODD = [
    "<html>",
    "[]",
    '{"metadata": 7}',
    '{"metadata": {"name": "\\ud8"}}',
    '{"metadata": ' + "[" * 10_000 + "]" * 10_000 + "}",
]


@pytest.mark.parametrize("body", ODD, ids=["no JSON", "no object", "another type", "no text", "too deep"])
async def test_an_answer_that_cannot_be_read(body: str) -> None:
    """Of a GET and of a review alike: one of `FAILURES`, which says so."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        answer: Any = msgspec.Raw(body.encode())
        kube.on_request("GET", PATH, lambda _: answer)
        kube.on_request("POST", PATH, lambda _: answer)
        for ask in (api.get(PATH, Pod), api.ask(PATH, {}, Pod)):
            with pytest.raises(FAILURES) as failed:
                await ask
            assert isinstance(failed.value, UnreadableError)
            assert "the API server's answer cannot be read" in str(failed.value)


@pytest.mark.parametrize("body", [*ODD, '{"reason": 7}', "{}"])
async def test_a_refusal_that_cannot_be_read_is_a_refusal(body: str) -> None:
    """Its status is known all the same."""
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        kube.on_request("GET", PATH, lambda _: (503, msgspec.Raw(body.encode())))  # type: ignore[arg-type, return-value]
        with pytest.raises(ApiError) as failed:
            await api.get(PATH, Pod)
        assert (failed.value.status, failed.value.reason) == (503, "Unknown")
