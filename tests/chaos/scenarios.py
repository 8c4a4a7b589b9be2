"""What can go away. Each returns what it proved, and leaves the cluster as it found it; the traffic flows meanwhile."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from guide import follow
from lab import IMAGE, eventually, get, kubectl, rolled_out, run, weft
from traffic import (
    NAMESPACE,
    SERVER,
    SERVERS,
    fresh_pod,
    gone,
    lossless,
    pause,
    pods,
    proxy_log,
    scaled,
)
from weft_webhook.issue import new_pair
from weft_webhook.pair import LIFETIME

CONTROL_PLANE = ("destination", "identity", "injector", "sp-validator")

RESTARTED = {
    "hostPID": True,
    "containers": [
        {
            "name": "restart",
            "image": IMAGE,
            "command": ["python3", "-c", Path(__file__).with_name("restart_api_server.py").read_text()],
            "securityContext": {"privileged": True, "runAsUser": 0},
        }
    ],
}
"""A pod that restarts the API server."""

SILENT_SECONDS = 60
"""A watch that says nothing is given up after 50 s; without an API server, the next one fails."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long things are away, and how often they are repeated."""

    away: float = 20
    rollouts: int = 3
    kills: int = 3


Scenario = Callable[[Length], str]


@contextmanager
def restored(*names: str) -> Iterator[None]:
    """Whatever becomes of these parts of the control plane: at the end they are back, all at once."""
    was = {name: get("deploy", name, "-n", "weft")["spec"]["replicas"] for name in names}
    try:
        yield
    finally:
        for name, replicas in was.items():
            scaled(replicas, name)
        rolled_out("weft", *names)


def away(*names: str) -> None:
    """Parts of the control plane at zero replicas, their pods gone."""
    scaled(0, *names)
    for name in names:
        eventually(lambda name=name: not pods(name), 90)  # type: ignore[misc]


def control_plane_away(length: Length) -> str:
    """Known workloads go on, on new connections too; a new pod says what it waits for, and starts when that is back."""
    with lossless() as seen:
        with restored(*CONTROL_PLANE):
            away("identity")
            fresh_pod("waits")
            away("destination", "injector", "sp-validator")
            eventually(lambda: "identity.weft" in proxy_log("waits") and "no certificate" in proxy_log("waits"), 60)
            pause(length.away)
        kubectl("-n", NAMESPACE, "wait", "pod/waits", "--for=condition=Ready", "--timeout=120s")
        gone("waits")
    return f"{length.away:g} s, {seen.answered} requests"


def killed_under_load(length: Length) -> str:
    """destination and identity die without a word, again and again."""
    with lossless() as seen:
        for _ in range(length.kills):
            for name in ("destination", "identity"):
                for pod in pods(name):
                    kubectl("-n", "weft", "delete", "pod", pod, "--grace-period=0", "--force")
            rolled_out("weft", "destination", "identity")
            pause(2)
    return f"{length.kills} kills, {seen.answered} requests"


def api_server_unreachable(length: Length) -> str:
    """No packet passes between the control plane and the API server: identity says so to a new pod, and certifies it
    afterwards; destination answers by what it knew, tells how old that is, and hears of the pod afterwards."""
    known = eventually(_endpoints)
    with lossless() as seen:
        with cut_off(_ways()):
            heard, failures, began = sum(_watches("events_total")), sum(_watches("failures_total")), time.monotonic()
            fresh_pod("after")
            eventually(lambda: "no TokenReview" in proxy_log("after"), 90)
            pause(length.away)
            lasted = time.monotonic() - began
            assert min(_watches("last_event_age_seconds")) >= lasted, "destination heard something: nothing was cut"
            assert _endpoints() == known, "destination says something else than what it knew"
            failed = sum(_watches("failures_total")) > failures
            assert length.away < SILENT_SECONDS or failed, "no watch of destination has failed"
        kubectl("-n", NAMESPACE, "wait", "pod/after", "--for=condition=Ready", "--timeout=120s")
        eventually(lambda: sum(_watches("events_total")) > heard, 90, 1)
        assert _endpoints() == known, "destination has lost what it knew"
    gone("after")
    return f"{length.away:g} s, {seen.answered} requests"


def _watches(figure: str) -> list[float]:
    """A figure of each watch of every destination."""
    path, name = "/api/v1/namespaces/weft/pods/{}:9990/proxy/metrics", f"weft_destination_watch_{figure}{{"
    texts = [kubectl("get", "--raw", path.format(pod)) for pod in pods("destination")]
    return [float(line.rpartition(" ")[2]) for text in texts for line in text.splitlines() if line.startswith(name)]


def _endpoints() -> list[str]:
    """Where destination sends requests of the server's Service."""
    said = json.loads(weft("-n", NAMESPACE, "diagnostics", "endpoints", f"{SERVER}:80", "-o", "json"))
    return sorted(one["ip"] for one in said["state"]["endpoints"])


Rule = tuple[str, ...]
"""A table of iptables, a chain, and which packets."""


def _ways() -> list[Rule]:
    """From the control plane to the API server before any translation, and back from where it really listens."""
    service = get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]
    slices = get("endpointslices", "-n", "default", "-l", "kubernetes.io/service-name=kubernetes")["items"]
    servers = [
        (address, str(port["port"]))
        for each in slices
        for endpoint in each["endpoints"]
        for address in endpoint["addresses"]
        for port in each["ports"]
    ]
    rules: list[Rule] = []
    for name in ("destination", "identity", "injector"):
        for pod in get("pods", "-n", "weft", "-l", f"weft.dev/component={name}")["items"]:
            ip = pod["status"]["podIP"]
            rules.append(("raw", "PREROUTING", "-s", ip, "-d", service))
            rules += [
                ("mangle", "POSTROUTING", "-p", "tcp", "-s", server, "--sport", port, "-d", ip)
                for server, port in servers
            ]
    return rules


@contextmanager
def cut_off(rules: list[Rule]) -> Iterator[None]:
    """Such packets are dropped on every node."""
    try:
        assert _on_nodes("-I", rules) == {"Succeeded"}
        yield
    finally:
        # Of rules that were half made, the first ones are there: a deletion that fails has none left to delete.
        _on_nodes("-D", rules)


def _on_nodes(action: str, rules: list[Rule]) -> set[str]:
    """Makes or deletes rules of every node's own network, one after another until one fails; how that ended.

    A container each: the image has no shell.
    """
    root = {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}
    injected = get("pods", "-n", NAMESPACE, "-l", f"app={SERVER}")["items"][0]["spec"]["initContainers"]
    (image,) = (container["image"] for container in injected if container["name"] == "weft-init")
    *first, last = (
        {
            "name": f"rule-{number}",
            "image": image,
            "command": ["iptables-nft", "-t", table, action, *packets, "-j", "DROP"],
            "securityContext": root,
        }
        for number, (table, *packets) in enumerate(rules)
    )
    return _ran("cut", {"initContainers": first, "containers": [last]}, 60)


def _ran(name: str, spec: dict[str, Any], seconds: float) -> set[str]:
    """How a pod of these containers ended, on each node, in the node's own network."""
    ends = set()
    for number, node in enumerate(get("nodes")["items"]):
        own = {"nodeName": node["metadata"]["name"], "hostNetwork": True, "restartPolicy": "Never"}
        own |= {"tolerations": [{"operator": "Exists"}]} | spec
        pod = ("-n", "kube-system", f"pod/{name}-{number}")
        meta = {"name": f"{name}-{number}", "namespace": "kube-system"}
        kubectl(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": own})
        )
        try:
            ends.add(eventually(lambda pod=pod: _ended(get(*pod)), seconds))  # type: ignore[misc]
        finally:
            kubectl("delete", *pod)
    return ends


def _ended(pod: dict[str, Any]) -> str:
    phase = str(pod["status"].get("phase", ""))
    return phase if phase in ("Succeeded", "Failed") else ""


def api_server_restarted(_: Length) -> str:
    """etcd is compacted and the API server killed: what destination watched from is Gone, so it lists anew, which takes
    no endpoint away, and hears what changed as soon as the API server was back."""
    known, listed, lost = set(eventually(_endpoints)), sum(_watches("relists_total")), set[str]()

    def told() -> bool:
        now = set(_endpoints())
        lost.update(known - now)
        return len(now) > len(known) and sum(_watches("relists_total")) >= listed + len(pods("destination"))

    with lossless() as seen:
        assert _ran("restart-api", RESTARTED, 180) == {"Succeeded"}
        try:
            eventually(lambda: _servers(SERVERS + 1), 120)
            eventually(told, 180, 0.5)
            assert not lost, f"destination has lost {', '.join(sorted(lost))}"
        finally:
            eventually(lambda: _servers(SERVERS), 120)
            rolled_out(NAMESPACE, SERVER)
    return f"listed anew, {seen.answered} requests"


def _servers(replicas: int) -> str:
    return kubectl("-n", NAMESPACE, "scale", f"deploy/{SERVER}", f"--replicas={replicas}")


def injector_down(_: Length) -> str:
    """Elsewhere pods start at once, also when weft fails closed; in meshed namespaces they are then refused."""
    configuration = "mutatingwebhookconfiguration/weft-injector"
    policies = [entry["failurePolicy"] for entry in get(configuration)["webhooks"]]
    with restored("injector"):
        away("injector")
        _fail_closed(configuration, ["Fail" for _ in policies])
        try:
            fresh_pod("elsewhere", "default")
            kubectl("-n", "default", "wait", "pod/elsewhere", "--for=condition=Ready", "--timeout=30s")
            meshed = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "meshed", "namespace": NAMESPACE}}
            spec = {"containers": [{"name": "app", "image": "scratch"}]}
            refused = run("kubectl", "create", "-f", "-", stdin=json.dumps(meshed | {"spec": spec}), check=False)
            assert refused.returncode != 0, "a pod was let in without a proxy"
            assert "injector" in refused.stderr, refused.stderr
        finally:
            _fail_closed(configuration, policies)
            gone("elsewhere", "default")
    return "elsewhere ready, meshed refused"


def _fail_closed(configuration: str, policies: list[str]) -> None:
    patch = [
        {"op": "replace", "path": f"/webhooks/{number}/failurePolicy", "value": policy}
        for number, policy in enumerate(policies)
    ]
    kubectl("patch", configuration, "--type=json", "-p", json.dumps(patch))


def issuer_rotation(_: Length) -> str:
    """The issuer's Secret is deleted: another one signs within a minute, and nobody notices."""
    before = _issuer()
    with lossless() as seen:
        kubectl("-n", "weft", "delete", "secret", "weft-issuer")
        eventually(lambda: _issuer() not in ("", before), 90)
        _one_more_server()
    return f"{seen.answered} requests"


def _issuer() -> str:
    found = kubectl("-n", "weft", "get", "secret", "weft-issuer", "--ignore-not-found", "-o", "json")
    return str(json.loads(found)["data"]["tls.crt"]) if found.strip() else ""


def _one_more_server() -> None:
    """A further server, which gets its leaf from the new issuer, takes its share of the traffic, and goes again."""
    for replicas in (SERVERS + 1, SERVERS):
        _servers(replicas)
        rolled_out(NAMESPACE, SERVER)
        assert not _unmeshed(), "a server came without a proxy: it proves nothing"
        pause(2)


def _unmeshed() -> list[str]:
    """Servers without a proxy."""
    found = get("pods", "-n", NAMESPACE, "-l", f"app={SERVER}")["items"]
    return [pod["metadata"]["name"] for pod in found if '"weft-proxy"' not in json.dumps(pod["spec"])]


def anchor_rotation(_: Length) -> str:
    """A new anchor comes, the old one goes, and not one request fails."""
    before = _anchor()
    with lossless() as seen:
        said = follow("operations/certificates.md", "rotate", timeout=900)
        assert said.splitlines()[-1] == "finished", said
        after = _anchor()
        assert (before != after, after.count("BEGIN")) == (True, 1)
    return f"{seen.answered} requests"


def _anchor() -> str:
    return base64.b64decode(get("secret", "weft-trust-anchor", "-n", "weft")["data"]["ca.crt"]).decode()


def webhook_certificate_expired(_: Length) -> str:
    """An expired pair in the injector's Secret is replaced, published and served within a minute by the same process,
    which serves the former one until then: pods get their proxies all the while."""
    was, secret = pods("injector"), "weft-injector-tls"
    pair = new_pair("injector", ["injector.weft.svc"], datetime.now(UTC) - LIFETIME - timedelta(days=1))
    expired = {name: base64.b64encode(value).decode() for name, value in pair.data().items()}
    kubectl("-n", "weft", "patch", "secret", secret, "-p", json.dumps({"data": expired}))
    eventually(lambda: get("secret", secret, "-n", "weft")["data"]["tls.crt"] != expired["tls.crt"], 60, 1)
    trusted = base64.b64decode(get("secret", secret, "-n", "weft")["data"]["ca.crt"])
    eventually(lambda: all(trusted in bundle for bundle in _trusted()), 60, 1)
    eventually(_injects, 60, 1)
    assert pods("injector") == was, "another process did it"
    return "renewed, published, served"


def _trusted() -> list[bytes]:
    webhooks = get("mutatingwebhookconfiguration", "weft-injector")["webhooks"]
    return [base64.b64decode(webhook["clientConfig"].get("caBundle", "")) for webhook in webhooks]


def _injects() -> bool:
    """Does a new pod get its proxy?"""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "repaired", "namespace": NAMESPACE}}
    pod["spec"] = {"containers": [{"name": "app", "image": "scratch"}]}
    made = run("kubectl", "create", "-f", "-", "--dry-run=server", "-o", "json", stdin=json.dumps(pod)).stdout
    return "weft-proxy" in made


def rollouts(length: Length) -> str:
    """The server is replaced again and again."""
    with lossless() as seen:
        for _ in range(length.rollouts):
            kubectl("-n", NAMESPACE, "rollout", "restart", f"deploy/{SERVER}")
            rolled_out(NAMESPACE, SERVER)
    return f"{length.rollouts} rollouts, {seen.answered} requests"


SCENARIOS: dict[str, Scenario] = {
    each.__name__.replace("_", "-"): each
    for each in (
        control_plane_away,
        killed_under_load,
        api_server_unreachable,
        api_server_restarted,
        injector_down,
        issuer_rotation,
        anchor_rotation,
        webhook_certificate_expired,
        rollouts,
    )
}
