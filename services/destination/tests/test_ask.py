"""What would become of calls, asked over HTTP as the CLI asks it."""

from typing import Any

import msgspec
import pytest
from weft_destination import model
from weft_destination.ask import MAX_BODY, askable
from weft_destination.index import Index
from weft_destination.policy import model as policy
from weft_destination.policy.read import read_policy
from weft_http.routes import Routes
from weft_testkit.listen import asking

Json = dict[str, Any]

CART = "spiffe://cluster.local/ns/shop/sa/cart"
CALL = {"namespace": "shop", "pod": "menu-1", "port": 8080, "method": "GET", "path": "/menu"}
LETS_CART_IN = {"rules": [{"from": [{"serviceAccount": {"name": "cart"}}]}]}
NOBODY = {"action": "deny", "rules": [{"from": [{"anyone": True}]}]}


def pod(name: str, access: policy.Pod | None) -> model.Pod:
    """A pod of shop."""
    return model.Pod(("shop", name), (), "", "", model.Ports((range(25, 26),)), None, "", "", access=access)


async def ask(body: Any) -> tuple[int, Any]:
    """Status and answer, where pod menu-1 may be called by `cart` alone and pod db-1 has no proxy."""
    index = Index()
    for one in (pod("menu-1", policy.Pod()), pod("db-1", None)):
        index.pods.apply(one)
    index.policies.apply(read_policy(("shop", "menu"), LETS_CART_IN, "cluster.local"))
    async with asking(askable(Routes(), index, "cluster.local"), MAX_BODY) as client:
        response = await client.post("/debug/access", data=msgspec.json.encode(body))
        return response.status, await (response.json() if response.status == 200 else response.text())


def verdict(by: str, *, allowed: bool) -> Json:
    """A verdict as JSON."""
    return {"allowed": allowed, "by": by}


async def test_calls_are_judged_by_the_proxies_tables() -> None:
    """Each call gets the rule or default that decides; a pod without proxy nothing."""
    calls = [CALL | {"identity": CART}, CALL, CALL | {"pod": "db-1"}, CALL | {"pod": "gone"}]
    yes, no = verdict("shop/menu", allowed=True), verdict("policy shop/menu", allowed=False)

    assert await ask({"calls": calls}) == (
        200,
        {"verdicts": [{"enforced": yes, "audited": yes}, {"enforced": no, "audited": no}, None, None], "faults": []},
    )


async def test_drafts_are_judged_as_if_enforced() -> None:
    """Beside the policies that there are, or instead of the one of their name; what is wrong with one is told."""
    meta = {"namespace": "shop"}
    drafts = [{"metadata": meta | {"name": "deny"}, "spec": NOBODY | {"mode": "audit"}}]
    _, denied = await ask({"calls": [CALL | {"identity": CART}], "drafts": drafts})
    _, broken = await ask({"calls": [CALL], "drafts": [{"metadata": meta | {"name": "menu"}, "spec": {}}]})

    assert denied["verdicts"][0]["drafted"] == verdict("shop/deny", allowed=False)
    assert broken["faults"] == ["shop/menu: spec.rules is empty"]
    assert broken["verdicts"][0]["drafted"]["allowed"]


@pytest.mark.parametrize("request_", [{"any_request": True}, {"method": "GET", "path": "/menu"}, {}])
async def test_a_network_decides_where_the_address_is_known(request_: Json) -> None:
    """Requests and connections alike; where it is not known, those without it decide for sure and it perhaps."""
    meta = {"namespace": "shop", "name": "near"}
    near = {"rules": [{"from": [{"cidr": "10.0.0.0/8"}, {"namespace": "dev"}]}]}
    call = {name: value for name, value in CALL.items() if name not in ("method", "path")} | request_
    eve = "spiffe://cluster.local/ns/dev/sa/eve"
    calls = [call | one for one in ({"ip": "10.0.0.1"}, {"ip": "192.0.2.1"}, {"any_address": True})]
    calls += [call | {"any_address": True, "identity": one} for one in (CART, eve)]

    async def drafted(action: str) -> list[tuple[bool | None, list[str]]]:
        drafts = [{"metadata": meta, "spec": near | {"action": action}}]
        found = [one["drafted"] for one in (await ask({"calls": calls, "drafts": drafts}))[1]["verdicts"]]
        return [(one["allowed"], one.get("among", [one["by"]])) for one in found]

    default = "policy shop/menu"
    assert await drafted("deny") == [
        (False, ["shop/near"]),
        (False, [default]),
        (False, ["shop/near", default]),
        (None, ["shop/near", "shop/menu"]),
        (False, ["shop/near"]),
    ]
    assert await drafted("allow") == [
        (True, ["shop/near"]),
        (False, [default]),
        (None, ["shop/near", default]),
        (True, ["shop/menu"]),
        (True, ["shop/near"]),
    ]


async def test_an_identity_that_mesh_tls_refuses_is_let_in_nowhere() -> None:
    """Of another trust domain, or none of a workload: the proxy ends the handshake before any rule is asked."""
    ids = ["spiffe://other/ns/shop/sa/cart", "spiffe://cluster.local/cart", f"{CART}/x"]
    everybody = [{"metadata": {"namespace": "shop", "name": "all"}, "spec": NOBODY | {"action": "allow"}}]
    _, answer = await ask({"calls": [CALL | {"identity": one} for one in ids], "drafts": everybody})

    refused = [verdict(f"mesh TLS, to which {one} is no identity", allowed=False) for one in ids]
    assert [one["drafted"] for one in answer["verdicts"]] == refused


async def test_a_port_past_the_proxy_is_open_to_everybody() -> None:
    """Whatever policies say, and whoever comes: no proxy hears of the call."""
    calls = [CALL | {"port": 25} | one for one in ({}, {"identity": CART}, {"identity": "x", "any_request": True})]
    deny = [{"metadata": {"namespace": "shop", "name": "deny"}, "spec": NOBODY}]
    open_to_all = verdict("the pod's skip-inbound-ports: no proxy is asked", allowed=True)
    for drafts, names in (([], ("enforced", "audited")), (deny, ("enforced", "audited", "drafted"))):
        _, answer = await ask({"calls": calls, "drafts": drafts})

        assert answer["verdicts"] == [dict.fromkeys(names, open_to_all)] * 3


async def test_nonsense_is_refused() -> None:
    """With what is wrong with it."""
    assert await ask({"calls": [{"pod": 1}]}) == (400, "Expected `str`, got `int` - at `$.calls[0].pod`\n")
    assert await ask({"calls": [], "drafts": [{"metadata": []}]}) == (
        400,
        "Expected `object`, got `array` - at `$.drafts[0].metadata`\n",
    )
    deep = msgspec.Raw(b"[" * 10_000 + b"]" * 10_000)
    assert await ask({"calls": [], "drafts": [{"spec": {"rules": deep}}]}) == (400, "nested too deep\n")


async def test_requests_that_nobody_looked_into() -> None:
    """All are allowed, none is, or it depends: by what rules say of the client alone."""
    some = {"rules": [{"from": [{"namespace": "dev"}], "to": [{"methods": ["GET"]}]}]}
    call = {"namespace": "shop", "pod": "menu-1", "port": 8080, "any_request": True}
    calls = [call | {"account": "shop/cart"}, call | {"account": "dev/eve"}, call]
    drafts = [{"metadata": {"namespace": "shop", "name": "some"}, "spec": some}]
    _, answer = await ask({"calls": calls, "drafts": drafts})

    assert [one["drafted"] for one in answer["verdicts"]] == [
        {"allowed": True, "by": "shop/menu", "among": ["shop/menu"]},
        {"allowed": None, "by": "shop/some", "among": ["shop/some", "policy shop/menu"]},
        {"allowed": False, "by": "policy shop/menu", "among": ["policy shop/menu"]},
    ]
