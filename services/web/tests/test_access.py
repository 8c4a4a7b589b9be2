"""Access when others than the pod itself can reach web."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from weft_runtime.config import ConfigError, load
from weft_testkit.wait import until
from weft_web import access
from weft_web.access import Right, needed
from weft_web.config import Config

TOKEN_REVIEWS, ACCESS_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews", ".*/subjectaccessreviews"


def knows(lab: Any, token: str, *allowed: str) -> list[Any]:
    """Kubernetes knows the token as ann's, who may list pods in these namespaces; returns what it is asked."""
    asked: list[Any] = []

    def token_review(request: Any) -> Any:
        known = request.body["spec"]["token"] == token
        return {"status": {"authenticated": known, "user": {"username": "ann", "groups": ["devs"]} if known else {}}}

    def access_review(request: Any) -> Any:
        asked.append(request.body["spec"])
        return {"status": {"allowed": request.body["spec"]["resourceAttributes"]["namespace"] in allowed}}

    lab.kube.on_request("POST", TOKEN_REVIEWS, token_review)
    lab.kube.on_request("POST", ACCESS_REVIEWS, access_review)
    return asked


async def ask(lab: Any, path: str, token: str = "", **headers: str) -> tuple[int, Any]:
    """Status and answer of the exposed API."""
    given = {"Authorization": f"Bearer {token}"} if token else {}
    async with lab.session.get(f"{lab.exposed_url}/api/v1/{path}", headers=given | headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("header", ["", "Basic YW5u", "Bearer ", "Bearer other"])
async def test_who_has_no_token_is_told_where_to_get_one(lab: Any, header: str) -> None:
    """401, whatever is asked."""
    knows(lab, "t0ken", "shop")
    for path in ("version", "stat", "nothing"):
        status, answer = await ask(lab, path, Authorization=header)
        assert (status, answer["error"]["code"]) == (401, "unauthenticated")
        assert "kubectl create token" in answer["error"]["hint"]


async def test_a_namespace_is_for_who_may_list_its_pods(lab: Any) -> None:
    """Another, or all of them, are not."""
    knows(lab, "t0ken", "shop")
    found = [(await ask(lab, path, "t0ken"))[0] for path in ("stat?namespace=shop", "stat?namespace=bank", "stat")]
    assert found == [200, 403, 403]
    _, refused = await ask(lab, "stat?namespace=bank", "t0ken")
    assert refused["error"]["message"] == "ann may not list pods in namespace bank"


async def test_a_review_that_cannot_be_read_is_503(lab: Any) -> None:
    """As if Kubernetes could not be asked; nobody is let in by it."""
    knows(lab, "t0ken", "shop")
    for path in (ACCESS_REVIEWS, TOKEN_REVIEWS):
        lab.kube.on_request("POST", path, lambda _: {"status": 7})
        status, answer = await ask(lab, "stat?namespace=shop", "t0ken")
        assert (status, answer["error"]["code"]) == (503, "kubernetes_unreachable")


async def test_kubernetes_is_asked_once_a_minute(lab: Any) -> None:
    """With the user's groups, as it told them."""
    asked = knows(lab, "t0ken", "shop")
    for _ in range(3):
        await ask(lab, "stat?namespace=shop", "t0ken")
    (review,) = asked
    assert (review["user"], review["groups"]) == ("ann", ["devs"])


@dataclass
class Slow:
    """A Kubernetes that knows every token when it is told to go on."""

    reviewed: list[str] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def review(self, request: Any) -> Any:
        """A TokenReview."""
        self.reviewed.append(request.body["spec"]["token"])
        await self.go_on.wait()
        return {"status": {"authenticated": True, "user": {"username": "ann"}}}


async def test_who_asks_the_same_at_once_shares_one_review(lab: Any) -> None:
    """A page opens three streams with one token."""
    slow = Slow()
    lab.kube.on_request("POST", TOKEN_REVIEWS, slow.review)
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(ask(lab, "version", "t0ken")) for _ in range(3)]
        await until(lambda: slow.reviewed == ["t0ken"])
        slow.go_on.set()
    assert ([task.result()[0] for task in asked], slow.reviewed) == ([200] * 3, ["t0ken"])


async def test_callers_wait_up_to_a_number(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes up tokens would have Kubernetes asked as often as he likes."""
    monkeypatch.setattr(access, "WAITING", 2)
    slow = Slow()
    lab.kube.on_request("POST", TOKEN_REVIEWS, slow.review)
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(ask(lab, "version", f"t0ken-{number}")) for number in range(2)]
        await until(lambda: len(slow.reviewed) == 2)
        status, refused = await ask(lab, "version", "t0ken-3")
        slow.go_on.set()
    assert (status, refused["error"]["code"]) == (503, "too_many_callers")
    assert [task.result()[0] for task in asked] == [200, 200]


async def test_made_up_tokens_push_out_the_oldest_answers_only(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not everybody's."""
    monkeypatch.setattr(access, "KEPT", 3)
    slow = Slow()
    slow.go_on.set()
    lab.kube.on_request("POST", TOKEN_REVIEWS, slow.review)
    for token in ("junk-1", "junk-2", "t0ken", "junk-3", "t0ken", "junk-1"):
        assert (await ask(lab, "version", token))[0] == 200
    assert slow.reviewed == ["junk-1", "junk-2", "t0ken", "junk-3", "junk-1"]


async def test_a_tap_is_for_who_may_tap(lab: Any) -> None:
    """Listing pods is not enough: the right is that of the aggregated API."""
    asked = knows(lab, "t0ken")
    status, _ = await ask(lab, "tap?namespace=shop&kind=deploy&name=web", "t0ken")
    assert (status, [one["resourceAttributes"]["subresource"] for one in asked]) == (403, ["tap"])


async def test_the_page_itself_is_for_all(lab: Any) -> None:
    """It asks for the token."""
    (lab.static / "index.html").write_text("page")
    async with lab.session.get(f"{lab.exposed_url}/") as response:
        assert await response.text() == "page"


async def test_without_kubernetes_nobody_gets_in(lab: Any) -> None:
    """503, not an answer."""
    lab.kube.on_request("POST", TOKEN_REVIEWS, lambda _: (500, {"message": "no"}))
    assert (await ask(lab, "version", "t0ken"))[0] == 503


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("version", {}, []),
        ("stat", {}, [Right("", "list", "", "pods")]),
        ("stat", {"namespace": "*"}, [Right("", "list", "", "pods")]),
        (
            "stat",
            {"namespace": "shop", "from_namespace": "bank"},
            [Right("shop", "list", "", "pods"), Right("bank", "list", "", "pods")],
        ),
        (
            "stat",
            {"namespace": "shop", "to": "ns/bank"},
            [Right("shop", "list", "", "pods"), Right("bank", "list", "", "pods")],
        ),
        ("namespaces", {"namespace": "shop"}, [Right("", "list", "", "pods")]),
        ("stream", {"view": "topology", "namespace": "shop"}, [Right("shop", "list", "", "pods")]),
        ("stream", {"view": "namespaces", "namespace": "shop"}, [Right("", "list", "", "pods")]),
        ("check", {"namespace": "shop"}, [Right("weft", "list", "", "pods")]),
        ("tap", {"namespace": "shop"}, [Right("shop", "watch", "tap.weft.dev", "namespaces", "tap", "shop")]),
    ],
)
def test_each_question_needs_a_right(path: str, query: dict[str, str], expected: list[Right]) -> None:
    """Of the namespaces whose numbers it shows."""
    assert needed(path, query, "weft") == expected


def test_web_is_not_exposed_without_tokens() -> None:
    """It does not even start."""
    kube = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    with pytest.raises(ConfigError, match="set WEFT_EXPOSED_LISTEN"):
        load(Config, kube | {"WEFT_LISTEN": "0.0.0.0:8084"})
    assert load(Config, kube).exposed_listen is None


async def test_an_exposed_web_asks_nobody_for_a_token_on_loopback(lab: Any) -> None:
    """The CLI comes by port-forward, and who has a client certificate has no token to show."""
    assert [str(address) for address in lab.listens] == ["127.0.0.1:8084", "0.0.0.0:8085"]
    assert ((await lab.get("version"))["version"], (await ask(lab, "version"))[0]) == ("1.2.3", 401)
