"""Traffic through two proxies in a namespace of its own, and what became of every request."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import IMAGE, CommandError, eventually, get, kubectl, rolled_out

NAMESPACE = "chaos"
SERVER, CALLER = "till", "guests"
SERVERS = 2
CLIENT = Path(__file__).with_name("caller.py")
Json = dict[str, Any]


def deployment(name: str, container: Json, replicas: int = 1) -> Json:
    """A Deployment of one container."""
    labels = {"app": name}
    spec = {"terminationGracePeriodSeconds": 45, "containers": [{"name": name, "image": IMAGE, **container}]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _meta(name), "spec": body}


def _meta(name: str) -> Json:
    return {"name": name, "namespace": NAMESPACE}


def objects(rate: int) -> list[Json]:
    """Namespace, a server that ends in order, its Service, and who calls it."""
    space = {"name": NAMESPACE, "labels": {"weft.dev/inject": "enabled"}}
    ready = {"httpGet": {"path": "/openapi.json", "port": 8000}, "periodSeconds": 1}
    # It closes idle connections at once on SIGTERM: what is on its way there then could be lost, mesh or not.
    linger = {"preStop": {"sleep": {"seconds": 3}}}
    server = {"args": ["cashier"], "readinessProbe": ready, "lifecycle": linger}
    ports = [{"name": "http", "port": 80, "targetPort": 8000}]
    env = {"RATE": str(rate), "URL": f"http://{SERVER}/charge"}
    caller = {
        "command": ["python3", "-c", CLIENT.read_text()],
        "env": [{"name": name, "value": value} for name, value in env.items()],
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": space},
        deployment(SERVER, server, replicas=SERVERS),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _meta(SERVER),
            "spec": {"selector": {"app": SERVER}, "ports": ports},
        },
        deployment(CALLER, caller),
    ]


def totals() -> Json:
    """What the caller has counted so far."""
    line = kubectl("-n", NAMESPACE, "logs", f"deploy/{CALLER}", "-c", CALLER, "--tail=1").strip()
    assert line, "the caller has not said anything yet"
    found: Json = json.loads(line)
    return found


@contextmanager
def running(rate: int = 200) -> Iterator[None]:
    """The traffic, once it flows; deleted at the end."""
    *servers, caller = objects(rate)
    kubectl("wait", f"namespace/{NAMESPACE}", "--for=delete", "--timeout=120s")
    for obj in servers:
        kubectl("apply", "-f", "-", stdin=json.dumps(obj))
    try:
        rolled_out(NAMESPACE, SERVER)
        kubectl("apply", "-f", "-", stdin=json.dumps(caller))
        rolled_out(NAMESPACE, CALLER)
        eventually(lambda: totals()["ok"] > rate, 60)
        yield
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")


class Lossless:
    """How many requests were answered while something went wrong; filled at the end of `lossless`."""

    answered = 0


@contextmanager
def lossless() -> Iterator[Lossless]:
    """Not one request of this time may fail."""
    counted, before = Lossless(), totals()
    yield counted
    after = settled()
    failed = {said: n - before["failed"].get(said, 0) for said, n in after["failed"].items()}
    failed = {said: n for said, n in failed.items() if n}
    assert not failed, f"failed requests: {failed}"
    counted.answered = after["ok"] - before["ok"]
    assert counted.answered > 0, "no request was made"


def settled() -> Json:
    """Totals that hold the answer to every request made so far."""
    sent = eventually(totals)["sent"]

    def answered() -> Json | None:
        now = totals()
        done = now["ok"] + sum(now["failed"].values())
        return now if done >= sent else None

    return eventually(answered, 30) or {}


def fresh_pod(name: str, namespace: str = NAMESPACE, **metadata: Any) -> None:
    """A pod of a server, which nobody waits for."""
    spec = {"containers": [{"name": "app", "image": IMAGE, "args": ["cashier"]}], "terminationGracePeriodSeconds": 1}
    meta = {"name": name, "namespace": namespace, **metadata}
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}))


def gone(name: str, namespace: str = NAMESPACE) -> None:
    """Deletes a pod, if it is there; its name is free then."""
    kubectl("-n", namespace, "delete", "pod", name, "--ignore-not-found", "--timeout=90s")


def scaled(replicas: int, *names: str) -> None:
    """Scales deployments of the control plane."""
    for name in names:
        kubectl("-n", "weft", "scale", f"deploy/{name}", f"--replicas={replicas}")


def pods(component: str) -> list[str]:
    """Names of a component's pods."""
    found = get("pods", "-n", "weft", "-l", f"weft.dev/component={component}")["items"]
    return [pod["metadata"]["name"] for pod in found]


def proxy_log(pod: str) -> str:
    """What a pod's proxy has logged; nothing before it runs."""
    try:
        return kubectl("-n", NAMESPACE, "logs", pod, "-c", "weft-proxy")
    except CommandError:
        return ""


def pause(seconds: float) -> None:
    """Lets the traffic flow for so long: what is proved is what happens meanwhile."""
    time.sleep(seconds)
