"""Faults to be found: one caller calls many Services, each broken in its own way."""

import json
from typing import Any

from lab import IMAGE, kubectl

SPACE = "why-lab"
NEXT = "why-lab-next"
"""Where a workload is well whose namesake in SPACE is not."""

SERVER = """
import asyncio, os, sys
from aiohttp import ClientSession, web
behave, _, number = os.environ["BEHAVE"].partition(":")
count = 0

async def answer(request):
    global count
    count += 1
    if behave == "slow":
        await asyncio.sleep(float(number))
    if behave == "dns":
        try:
            async with ClientSession() as session, session.get("http://teapott.why-lab.svc.cluster.local/"):
                pass
        except OSError as error:
            print(error, flush=True)
            return web.Response(status=502)
    broken = {"all": True, "half": count % 2 == 0, "route": request.path == "/b",
              "pod": os.environ["HOSTNAME"].endswith("-1")}
    return web.Response(status=500 if broken.get(behave) else 200)

async def raw(reader, writer):
    await reader.read(100)
    if behave == "garbage":
        writer.write(b"-ERR no such command\\r\\n")
    writer.close()

async def main():
    if behave == "exit":
        await asyncio.sleep(1)
        sys.exit(3)
    if behave == "eat":
        held = b"x" * 10**9
    if behave in ("garbage", "close"):
        await asyncio.start_server(raw, "0.0.0.0", 8080)
    elif behave != "deaf":
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", 8080).start()
    await asyncio.Event().wait()

asyncio.run(main())
"""
CALLER = """
import asyncio, os
from aiohttp import ClientError, ClientSession, ClientTimeout

async def call(session, name):
    for path in __import__("itertools").cycle("aab"):
        try:
            async with session.get(f"http://{name}/{path}", timeout=ClientTimeout(total=5)):
                pass
        except (ClientError, OSError, TimeoutError):
            pass
        await asyncio.sleep(0.5)

async def main():
    async with ClientSession() as session:
        await asyncio.gather(*(call(session, name) for name in os.environ["NAMES"].split(",")))

asyncio.run(main())
"""

PROBE = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1}
BEHAVIOURS: dict[str, str] = {
    "crash-loop": "exit",
    "oom-killed": "eat",
    "connection-refused": "deaf",
    "one-route": "route",
    "application-error": "half",
    "timeout-too-small": "slow:0.1",
    "slow-server": "slow:1.5",
    "protocol": "garbage",
    "connection-lost": "close",
    "dns-name": "dns",
    "readiness": "deaf",
}
"""What the servers do; those that are not named answer as they should."""

TIMEOUTS = {"timeout-too-small": "20ms", "slow-server": "500ms"}


def deployment(fault: str, kind: str = "Deployment") -> dict[str, Any]:
    """A server; `fault` is its name."""
    container: dict[str, Any] = {
        "name": "app",
        "image": IMAGE,
        "command": ["python3", "-c", SERVER],
        "env": [{"name": "BEHAVE", "value": BEHAVIOURS.get(fault, "ok")}],
        "ports": [{"containerPort": 8080}],
        "resources": {"requests": {"cpu": "1m"}, "limits": {"memory": "120Mi"}},
    }
    pod: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": 1}
    spec: dict[str, Any] = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": fault}},
        "template": {"metadata": {"labels": {"app": fault}}, "spec": pod},
    }
    _break(fault, spec, pod, container)
    if kind == "StatefulSet":
        spec |= {"serviceName": fault, "podManagementPolicy": "Parallel"}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": fault, "namespace": SPACE}, "spec": spec}


def _break(fault: str, spec: dict[str, Any], pod: dict[str, Any], container: dict[str, Any]) -> None:
    """Changes the specification of those servers whose fault lies there."""
    changes: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "image-pull": (container, {"image": "localhost/there-is-no-such-image:1"}),
        "container-config": (container, {"envFrom": [{"configMapRef": {"name": "absent"}}]}),
        "readiness": (container, {"readinessProbe": PROBE}),
        "unschedulable": (pod, {"nodeSelector": {"no.such/label": "x"}}),
        "scaled-to-zero": (spec, {"replicas": 0}),
        "one-pod": (spec, {"replicas": 2}),
        "injection-skipped": (pod, {"hostNetwork": True}),
        "pods-refused": (container, {"ports": [{"containerPort": 4143}]}),
        "crash-loop": (container, {"readinessProbe": PROBE}),
    }
    if fault in changes:
        place, change = changes[fault]
        place |= change
    if fault == "injection-skipped":
        container["env"] = [{"name": "BEHAVE", "value": "deaf"}]
        container["ports"] = []
    if fault == "one-pod":
        container["env"] = [{"name": "BEHAVE", "value": "pod"}]


def service(fault: str) -> dict[str, Any]:
    """The Service of a server, port 80."""
    selector = {"app": "nobody"} if fault == "selector-matches-no-pod" else {"app": fault}
    target = 8081 if fault == "wrong-target-port" else 8080
    spec: dict[str, Any] = {"ports": [{"name": "http", "port": 80, "targetPort": target, "appProtocol": "http"}]}
    if fault != "service-without-selector":
        spec["selector"] = selector
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": fault, "namespace": SPACE}, "spec": spec}


def profile(fault: str) -> dict[str, Any]:
    """A ServiceProfile whose only route has a timeout."""
    route = {"name": "all", "condition": {"pathRegex": "/.*"}, "timeout": TIMEOUTS[fault]}
    meta = {"name": fault, "namespace": SPACE}
    return {"apiVersion": "weft.dev/v1alpha1", "kind": "ServiceProfile", "metadata": meta, "spec": {"routes": [route]}}


def policy(fault: str) -> dict[str, Any]:
    """An AccessPolicy that lets nobody call but an account that there is not, or too seldom."""
    rules = {"rules": [{"from": [{"serviceAccount": {"name": "somebody-else"}}]}]}
    limit = {"rateLimit": {"requestsPerSecond": 1, "burst": 1}}
    spec = {"target": {"service": {"name": fault}}, **(limit if fault == "rate-limited" else rules)}
    meta = {"name": fault, "namespace": SPACE}
    return {"apiVersion": "weft.dev/v1alpha1", "kind": "AccessPolicy", "metadata": meta, "spec": spec}


def caller(names: list[str]) -> dict[str, Any]:
    """Who calls all of them, twice a second each."""
    made = deployment("caller")
    container = made["spec"]["template"]["spec"]["containers"][0]
    container |= {"command": ["python3", "-c", CALLER], "env": [{"name": "NAMES", "value": ",".join(names)}]}
    return made


def elsewhere(made: dict[str, Any]) -> dict[str, Any]:
    """The same in the other namespace."""
    return made | {"metadata": made["metadata"] | {"namespace": NEXT}}


def apply(*objects: dict[str, Any]) -> None:
    """kubectl apply."""
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
