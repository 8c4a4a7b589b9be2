"""Who may call whom, with real pods: every row of docs/access.md's truth table, every way in, changes, limits."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from access_shop import DEV, GRPC, HTTP, OTHER, POLICIES, RAW, ROUTES, SHOP, TLS, Lab, lets, policy, shop
from lab import ROOT, eventually, get, kubectl, run, weft
from weft_testkit.truth import Row, rows

Json = dict[str, Any]

TRUTH = list(rows(ROOT / "docs" / "access.md"))


@pytest.fixture(scope="module")
def lab(installed: None) -> Iterator[Lab]:
    """The shop."""
    with shop() as found:
        yield found


def here(row: Row, number: int) -> list[Json]:
    """The row's policies in the namespace of the tests, by names of their own."""
    found = []
    for place, one in enumerate(row.policies, 1):
        text = json.dumps(one["spec"]).replace('"namespace": "dev"', f'"namespace": "{DEV}"')
        text = text.replace('"namespace": "shop"', f'"namespace": "{SHOP}"')
        found.append(policy(f"r{number}-p{place}", **json.loads(text)))
    return found


def made(lab: Lab, row: Row) -> Json:
    """The row's call."""
    who, port = row.client.rpartition("/")[2], RAW if row.raw else HTTP
    if not row.method:
        return lab.clients[who].ask("tcp", host=lab.menu, port=port)
    return lab.get(who, row.path, method=row.method)


def test_every_row_of_the_truth_table(lab: Lab) -> None:
    """What docs/access.md says of a call is what becomes of it; what is told is counted."""
    wrong, defaults = [], ("anyone", "")
    for number, row in enumerate(TRUTH):
        if (row.default, row.own_default) != defaults:
            lab.hold()
            defaults = (row.default, row.own_default)
            lab.default(*defaults)
        lab.hold(*here(row, number))
        before = lab.told() if row.told else 0.0
        answer = made(lab, row)
        told = row.told and eventually(lambda: lab.told() > before, 5, 0.02)  # noqa: B023 (called at once)
        if ((answer["status"] == 200), told) != (row.allowed, row.told):
            wrong.append((row.text, answer))
    lab.hold()
    lab.default("anyone")
    assert wrong == []


def test_every_way_in_is_guarded(lab: Lab) -> None:
    """Service, pod IP, headless Service, node port, and a port that nobody declares; HTTP/1.1, TCP, gRPC and so HTTP/2:
    cart may, others may not, and the log says who was denied by what."""
    lab.hold(lets("cart"))

    def reached(who: str, host: str, http: int, raw: int, grpc: int) -> list[Any]:
        ask, method = lab.clients[who].ask, "/tea.v1.Menu/List"
        tcp, code = ask("tcp", host=host, port=raw)["status"], ask("menu", host=host, port=grpc, path=method)["code"]
        return [lab.get(who, host=host, port=http)["status"], tcp, code]

    ways = {"Service": f"menu.{SHOP}", "pod IP": lab.menu, "headless": f"headless.{SHOP}"}
    found = {
        (way, who): reached(who, host, HTTP, RAW, GRPC)
        for way, host in ways.items()
        for who in ("cart", "crowd", "nobody")
    }
    node = {one["name"]: one["nodePort"] for one in get("service", "node", "-n", SHOP)["spec"]["ports"]}
    found["node port", "nobody"] = reached("nobody", lab.node, node["http"], node["raw"], node["grpc"])
    yes, no = [200, 200, "OK"], [403, 0, "PERMISSION_DENIED"]
    assert found == {(way, who): yes if who == "cart" else no for way, who in found}

    other = {who: lab.get(who, host=lab.menu, port=OTHER)["status"] for who in ("cart", "crowd", "nobody")}
    assert other == {"cart": 200, "crowd": 403, "nobody": 403}
    said = f"E114 denied by the default of policy {SHOP}/lets"
    assert lab.get("crowd")["error"] == said
    logged = kubectl("-n", SHOP, "logs", "menu", "-c", "weft-proxy").splitlines()
    assert any(said in line and f"/ns/{SHOP}/sa/crowd" in line for line in logged)


def test_the_kubelet_needs_no_rule(lab: Lab) -> None:
    """Under `deny` it still asks what the pod's probes say, by HTTPS too; others get nothing by the same ways."""
    lab.hold()
    tls = {"host": lab.menu, "port": TLS}
    before = lab.clients["nobody"].ask("tls", **tls)["status"]
    lab.default("deny")
    asked = {
        path: lab.get("nobody", path, host=lab.menu, port=4191)["status"]
        for path in ("/probe/https/8443/healthz", "/probe/https/8443/", "/metrics")
    }
    denied = lab.clients["nobody"].ask("tls", **tls)["status"]
    lab.default("anyone")

    assert asked == {"/probe/https/8443/healthz": 200, "/probe/https/8443/": 404, "/metrics": 200}
    assert (before, denied) == (200, 0)


def test_an_attached_route_is_a_target(lab: Lab) -> None:
    """Requests of a rule of an HTTPRoute; a rule that looks at headers is none, and status says why."""
    paths = {
        "list": {"path": {"type": "Exact", "value": "/tea"}},
        "beta": {"headers": [{"name": "beta", "value": "1"}]},
    }
    ref = {"group": "", "kind": "Service", "name": "node"}
    rules = [
        {"name": name, "matches": [match], "backendRefs": [{"name": "node", "port": HTTP}]}
        for name, match in paths.items()
    ]
    lab.api.call(
        "PATCH",
        f"{ROUTES}/tea?fieldManager=tests&force=true",
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "tea", "namespace": SHOP},
            "spec": {"parentRefs": [ref], "rules": rules},
        },
        "application/apply-patch+yaml",
    )
    who = [{"from": [{"serviceAccount": {"name": "cart"}}]}]
    lab.hold(policy("list", target={"service": {"name": "node", "route": "tea/list"}}, rules=who))
    asked = [lab.get(*call)["status"] for call in (("cart", "/tea"), ("cart", "/"), ("crowd", "/tea"))]
    lab.put(policy("beta", target={"service": {"name": "node", "route": "tea/beta"}}, rules=who))
    eventually(lambda: "by method and path alone" in lab.condition("beta", "Resolved"), 10, 0.1)

    assert asked == [200, 403, 403]


def test_grpc_methods_are_told_apart(lab: Lab) -> None:
    """A policy of one method lets no other in."""
    who = [{"serviceAccount": {"name": "cart"}}]
    lab.hold(policy("list", rules=[{"from": who, "to": [{"grpc": [{"service": "tea.v1.Menu", "method": "List"}]}]}]))
    call = {"host": f"menu.{SHOP}", "port": GRPC}
    codes = [lab.clients["cart"].ask("menu", path=f"/tea.v1.Menu/{name}", **call)["code"] for name in ("List", "Add")]

    assert codes == ["OK", "PERMISSION_DENIED"]


def test_a_change_arrives_within_a_second_and_loses_nothing(lab: Lab) -> None:
    """While cart comes and goes, crowd, which is always let in, sees nothing of it."""
    lab.hold(lets("crowd"))
    lab.clients["crowd"].ask("start", host=f"menu.{SHOP}", port=HTTP, method="GET", path="/")
    seconds = []
    for number in range(50):
        allowed, began = number % 2 == 0, time.monotonic()
        lab.put(lets("crowd", "cart") if allowed else lets("crowd"))
        eventually(lambda: (lab.get("cart")["status"] == 200) is allowed, 5, 0.01)  # noqa: B023 (called at once)
        seconds.append(round(time.monotonic() - began, 3))
    load = lab.clients["crowd"].ask("stop")

    print(f"{len(seconds)} changes, the slowest after {max(seconds)} s; {load['done']} requests beside")
    assert (max(seconds) <= 1, load["bad"]) == (True, [])
    assert load["done"] >= 20


def test_the_cli_says_what_proxies_do(lab: Lab) -> None:
    """`weft authz` gives the answers that proxies give, and status what the policy is about."""
    lab.hold(lets("cart"))
    ask = ("weft", "-n", SHOP, "authz", "can", "--to", "po/menu", "--port", str(HTTP))
    yes = run(*ask, "--from", "sa/cart", "GET", "/")
    no = run(*ask, "--from", "sa/crowd", check=False)
    said = (f"yes  port {HTTP}: {SHOP}/lets\n", f"no   port {HTTP}: policy {SHOP}/lets\n", 1)
    assert (yes.stdout, no.stdout, no.returncode) == said
    assert f"{SHOP}/cart" in weft("-n", SHOP, "authz", "list", "po/menu")
    eventually(lambda: lab.api.call("GET", f"{POLICIES}/lets").get("status", {}).get("pods") == 1, 30)
    lab.put(lets("crat"))
    eventually(lambda: f"{SHOP}/crat (did you mean {SHOP}/cart?)" in lab.condition("lets", "Resolved"), 10, 0.1)


def test_rate_limits_are_each_client_s_own(lab: Lab) -> None:
    """What is too much is answered 429 with Retry-After; another client has a limit of its own."""
    target = {"service": {"name": "menu"}}
    lab.hold(policy("slow", target=target, rateLimit={"requestsPerSecond": 2, "burst": 3}))
    call = {"host": f"menu.{SHOP}", "port": HTTP, "method": "GET", "path": "/"}
    answered = lab.clients["cart"].ask("many", times=12, **call)
    other = lab.get("crowd")

    found = list(zip(answered["statuses"], answered["retries"], strict=True))
    assert (set(found), found[:3], other["status"]) == ({(200, ""), (429, "1")}, [(200, "")] * 3, 200)


def test_what_leaves_the_mesh_is_a_list(lab: Lab) -> None:
    """Beyond the namespace's list an address outside the mesh is refused; its host or itself may be on the list."""
    api = {"host": lab.node, "port": 6443, "path": "/"}
    assert lab.get("cart", **api)["status"] == 400, "the API server answers plain HTTP with 400"
    for allowed in ({"host": "menu"}, {"cidr": f"{lab.node}/32", "ports": [6443]}):
        lab.hold(policy("list", egress={"allow": [{"host": "example.com"}]}))
        eventually(lambda: lab.get("cart", **api)["error"].startswith("E117 "), 5)
        lab.hold(policy("list", egress={"allow": [allowed]}))
        eventually(lambda: lab.get("cart", **api)["status"] == 400, 5)
    assert lab.get("cart")["status"] == 200
    lab.hold()


def test_a_broken_policy_is_refused_with_every_fault(lab: Lab) -> None:
    """At admission, by field, with what was meant."""
    broken = policy("broken", rules=[{"from": [{"cidr": "10.1.2.3/8"}], "to": [{"paths": ["/menu/*"]}]}])
    done = run("kubectl", "apply", "-f", "-", stdin=json.dumps(broken), check=False)

    assert "spec.rules[0].from[0].cidr" in done.stderr
    assert "did you mean pathPrefixes: [/menu]?" in done.stderr
    assert "broken" not in [one["metadata"]["name"] for one in lab.api.call("GET", POLICIES)["items"]]
