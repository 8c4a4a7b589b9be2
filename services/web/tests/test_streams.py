"""Streams of events: how many there may be, what they share, and how long a caller may have one."""

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from weft_web import access, server, shared, stream

TOKEN_REVIEWS, ACCESS_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews", ".*/subjectaccessreviews"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and reviews follow each other at once."""
    monkeypatch.setattr(stream, "PERIOD_SECONDS", 0.01)
    monkeypatch.setattr(access, "SECONDS", 0.0)


class Rights:
    """Kubernetes takes every token for its user's name; all may list pods until `allowed` is False."""

    def __init__(self, lab: Any) -> None:
        self.allowed = True
        lab.kube.on_request("POST", TOKEN_REVIEWS, self._token)
        lab.kube.on_request("POST", ACCESS_REVIEWS, lambda _: {"status": {"allowed": self.allowed}})

    def _token(self, request: Any) -> Any:
        return {"status": {"authenticated": True, "user": {"username": request.body["spec"]["token"]}}}


class Pages:
    """Pages that look at something."""

    def __init__(self, lab: Any, stack: AsyncExitStack) -> None:
        self._lab, self._stack = lab, stack

    async def open(self, user: str = "", path: str = "stat/stream") -> Any:
        """A stream's response: of this user, or by port-forward."""
        headers = {"Authorization": f"Bearer {user}"} if user else {}
        base = self._lab.exposed_url if user else ""
        return await self._stack.enter_async_context(self._lab.session.get(f"{base}/api/v1/{path}", headers=headers))


@pytest.fixture
async def pages(lab: Any) -> Any:
    """They are closed in the end."""
    async with AsyncExitStack() as stack:
        yield Pages(lab, stack)


async def test_streams_are_bounded(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused, and says what to do."""
    monkeypatch.setattr(server, "MAX_STREAMS", 2)
    assert [(await pages.open()).status for _ in range(3)] == [200, 200, 503]


async def test_one_user_does_not_take_the_streams_of_others(
    lab: Any, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where web is exposed, and knows who asks."""
    Rights(lab)
    monkeypatch.setattr(server, "MAX_OF_ONE", 2)
    assert [(await pages.open(user)).status for user in ("ann", "ann", "ann", "bob")] == [200, 200, 429, 200]


async def test_a_stream_ends_with_the_right_to_it(lab: Any, pages: Pages) -> None:
    """A right that is withdrawn, or a token that ended, is noticed while the stream is open."""
    rights = Rights(lab)
    response = await pages.open("ann")
    assert response.status == 200
    rights.allowed = False
    *_, last = [line async for line in response.content if line.startswith(b"data: ")]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "forbidden"


async def test_those_who_look_at_the_same_share_a_look(lab: Any, pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """By view and parameters; many pages cost as much as one."""
    monkeypatch.setattr(shared, "KEPT_SECONDS", 60.0)
    monkeypatch.setattr(shared, "LONGEST_SECONDS", 60.0)
    looks: list[Any] = []
    stat = lab.views.by_name["stat"]

    async def counted(query: Any) -> Any:
        looks.append(query)
        return await stat(query)

    lab.views.by_name["stat"] = counted
    for path in ("stat/stream?namespace=shop", "stream?view=stat&namespace=shop", "stat/stream?namespace=bank"):
        await pages.open(path=path)
    assert looks == [{"namespace": "shop"}, {"namespace": "bank"}]
