"""A shop whose pods the tests call, and the control plane's word on who may."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import yaml
from access_lab import Agent, Api, agent, api_server, client, server
from lab import eventually, forward, get, http, kubectl, weft

Json = dict[str, Any]

SHOP, DEV = "weft-it-shop", "weft-it-dev"
POLICIES = f"/apis/weft.dev/v1alpha1/namespaces/{SHOP}/accesspolicies"
ROUTES = f"/apis/gateway.networking.k8s.io/v1/namespaces/{SHOP}/httproutes"
MENU = f"/api/v1/namespaces/{SHOP}/pods/menu"
ACCOUNTS = {"cart": SHOP, "crowd": SHOP, "nobody": SHOP, "eve": DEV}
HTTP, RAW, GRPC, TLS, OTHER = 8080, 9000, 9090, 8443, 8081
"""Ports of menu; nobody declares OTHER."""
PROFILE = {"routes": [{"name": "list", "condition": {"method": "GET", "path": "/menu"}}]}


@dataclass
class Lab:
    """Server menu, its clients, and the control plane's word on what it has told menu's proxy."""

    api: Api
    destination: str
    clients: dict[str, Agent]
    menu: str
    node: str

    def said(self, port: int) -> Json:
        """What menu's proxy has to do at a port."""
        status, text = http(f"{self.destination}/debug/inbound/{SHOP}/menu/{port}")
        assert status == 200, text
        answer: Json = json.loads(text)
        return answer

    def names(self) -> set[str]:
        """Policies that hold anywhere, once menu's proxy has been told."""
        found: set[str] = set()
        for answer in map(self.said, (HTTP, RAW, GRPC)):
            assert all(one["held_version"] == answer["version"] for one in answer["watchers"])
            access = answer["state"]["access"] or {"enforced": None, "audited": None, "limits": []}
            decision = access["audited"] or access["enforced"] or {"rules": [], "default_name": ""}
            found |= {rule["name"] for rule in decision["rules"]} | {limit["name"] for limit in access["limits"]}
        return {name.partition("#")[0] for name in found if name != "probe"}

    def hold(self, *policies: Json) -> None:
        """Exactly these policies are in force, and menu's proxy knows."""
        wanted = {one["metadata"]["name"] for one in policies}
        for one in self.api.call("GET", POLICIES)["items"]:
            if one["metadata"]["name"] not in wanted:
                self.api.call("DELETE", f"{POLICIES}/{one['metadata']['name']}")
        for one in policies:
            self.put(one)
        about_menu = {f"{SHOP}/{name}" for name in wanted if "egress" not in _spec(policies, name)}
        eventually(lambda: self.names() == about_menu, 5, 0.02)

    def put(self, policy: Json) -> None:
        """Applies one."""
        path = f"{POLICIES}/{policy['metadata']['name']}?fieldManager=tests&force=true"
        self.api.call("PATCH", path, policy, "application/apply-patch+yaml")

    def default(self, value: str, own: str = "") -> None:
        """The namespace's default and menu's own, as soon as menu's proxy knows; without policies."""
        namespace = "" if value == "anyone" else value
        for where, text in ((f"/api/v1/namespaces/{SHOP}", namespace), (MENU, own)):
            body = {"metadata": {"annotations": {"config.weft.dev/default-access": text or None}}}
            self.api.call("PATCH", where, body, "application/merge-patch+json")
        expected = "workload pod/menu" if own else f"namespace {SHOP}" if namespace else "cluster"
        if own == "anyone":
            expected = "cluster"
        eventually(lambda: self._default_name() == expected, 5, 0.02)

    def condition(self, name: str, kind: str) -> str:
        """What a condition of a policy says."""
        found = self.api.call("GET", f"{POLICIES}/{name}").get("status", {}).get("conditions", [])
        return next((str(one["message"]) for one in found if one["type"] == kind), "")

    def _default_name(self) -> str:
        """Of a pod without policies; "cluster" where nothing is in force."""
        access = self.said(HTTP)["state"]["access"] or {"enforced": None, "audited": None}
        decision = access["audited"] or access["enforced"] or {"default_name": "cluster"}
        return str(decision["default_name"])

    def told(self) -> float:
        """Calls of which menu's proxy has told that drafts would deny them."""
        lines = self.clients["nobody"].ask("metrics", host=self.menu)["lines"]
        return sum(float(line.rpartition(" ")[2]) for line in lines if 'mode="audit"' in line)

    def get(self, who: str, path: str = "/", **call: Any) -> Json:
        """GET by HTTP/1.1 of the Service."""
        return self.clients[who].ask(
            "web", **{"host": f"menu.{SHOP}", "port": HTTP, "method": "GET", "path": path} | call
        )


def _spec(policies: tuple[Json, ...], name: str) -> Json:
    return next(dict(one["spec"]) for one in policies if one["metadata"]["name"] == name)


@contextmanager
def shop() -> Iterator[Lab]:
    """The pods, in two namespaces of their own."""
    if "httproutes.gateway" not in kubectl("get", "crds", "-o", "name"):
        weft("install", "--crds", "--apply")
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects()))
    try:
        for namespace, names in ((SHOP, ("menu", "cart", "crowd", "nobody")), (DEV, ("eve",))):
            for name in names:
                kubectl("-n", namespace, "wait", f"pod/{name}", "--for=condition=Ready", "--timeout=180s")
        with ExitStack() as stack:
            clients = {name: stack.enter_context(agent(space, name)) for name, space in ACCOUNTS.items()}
            api = stack.enter_context(api_server())
            destination = stack.enter_context(forward("weft", "deploy/destination", 9990))
            menu = get("pod", "menu", "-n", SHOP)["status"]
            yield Lab(api, destination, clients, menu["podIP"], menu["hostIP"])
    finally:
        kubectl("delete", "namespace", SHOP, DEV, "--wait=false")


def objects() -> list[Json]:
    """Namespaces, accounts, pods, three Services of menu, its profile."""
    labels = {"weft.dev/inject": "enabled"}
    found: list[Json] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one, "labels": labels}} for one in (SHOP, DEV)
    ]
    for name, space in {"menu": SHOP, **ACCOUNTS}.items():
        found.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": space}})
    found += [client(space, name, meshed=name != "nobody") for name, space in ACCOUNTS.items()]
    found.append(server(SHOP))
    ports = [{"port": number, "name": name} for name, number in (("http", HTTP), ("raw", RAW), ("grpc", GRPC))]
    for name, more in (("menu", {}), ("headless", {"clusterIP": "None"}), ("node", {"type": "NodePort"})):
        spec = {"selector": {"app": "menu"}, "ports": ports, **more}
        found.append(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": SHOP}, "spec": spec}
        )
    meta = {"name": "menu", "namespace": SHOP}
    return [*found, {"apiVersion": "weft.dev/v1alpha1", "kind": "ServiceProfile", "metadata": meta, "spec": PROFILE}]


def policy(name: str, **spec: Any) -> Json:
    """A policy of the shop."""
    meta = {"name": name, "namespace": SHOP}
    return {"apiVersion": "weft.dev/v1alpha1", "kind": "AccessPolicy", "metadata": meta, "spec": spec}


def lets(*accounts: str, **spec: Any) -> Json:
    """A policy for menu's pods that lets these accounts in."""
    who = [{"serviceAccount": {"name": name}} for name in accounts]
    target = {"workload": {"matchLabels": {"app": "menu"}}}
    return policy("lets", target=target, rules=[{"from": who}], **spec)
