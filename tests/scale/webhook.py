"""How many pods a second one core of the injector reviews, over TLS, and how long a review takes at 100 a second.

    uv run python tests/scale/webhook.py [SECONDS]

Kubernetes is FakeKube and the injector a process of its own; pods are those of a Deployment, 3 KB each. Prints one
JSON object; `reviews_per_s_core` is what a second of the injector's CPU time gives.
"""

import asyncio
import base64
import json
import multiprocessing
import ssl
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from processes import cpu_s, free_port, rss_mb
from weft_injector.app import serve_with
from weft_injector.config import Config
from weft_kube.api import Cluster, KubeApi
from weft_runtime import logs
from weft_runtime.config import load
from weft_testkit.fake_kube import FakeKube
from weft_testkit.wait import until

CONNECTIONS = 16
STEADY = 100
"""Reviews a second when the time of each is taken."""

WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/weft-injector"
TEMPLATE = {
    "init": {"name": "weft-init", "args": ["--inbound-port", "4143", "--skip-inbound-ports", "4190,4191"]},
    "proxy": {
        "name": "weft-proxy",
        "image": "proxy:0.1.0",
        "restartPolicy": "Always",
        "env": [{"name": f"WEFT_{number}", "value": "x"} for number in range(20)],
        "resources": {"requests": {"cpu": "10m"}},
    },
    "volumes": [{"name": "weft-token"}, {"name": "weft-bundle"}],
    "options": {"opaque-ports": "25,3306", "skip-inbound-ports": ""},
}
OBJECTS: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"weft.dev/inject": "enabled"}},
    },
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "weft-injector"},
        "webhooks": [{"name": "namespace.injector.weft.dev", "clientConfig": {"service": {"name": "injector"}}}],
    },
    {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": True}
            ],
        },
    },
]


def review(number: int) -> bytes:
    """An HTTP request as the API server sends it."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "rs", "controller": True}
    fields = {f"f:field-{name}": {"f:a": {}, "f:b": {}} for name in range(50)}
    meta = {
        "generateName": "web-1-",
        "labels": {"app": "web"},
        "ownerReferences": [owner],
        "managedFields": [{"manager": "kube-controller-manager", "fieldsV1": fields}],
    }
    env = [{"name": f"SETTING_{name}", "value": "some value or other"} for name in range(15)]
    container = {"name": "web", "image": "web:1", "ports": [{"containerPort": 8080}], "env": env}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}
    request = {"uid": f"r{number}", "operation": "CREATE", "namespace": "shop", "object": pod}
    body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
    head = f"POST /inject?timeout=5s HTTP/1.1\r\nHost: injector.weft.svc\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Content-Type: application/json\r\n\r\n" + body


def kubernetes(pipe: Connection) -> None:
    """A fake cluster until killed; tells its URL, then the CA that the injector has published."""

    async def run() -> None:
        async with FakeKube() as kube:
            for obj in OBJECTS:
                kube.put(obj)
            pipe.send(kube.cluster.url)
            await until(lambda: "caBundle" in kube.get(WEBHOOK)["webhooks"][0]["clientConfig"], 60)
            pipe.send(base64.b64decode(kube.get(WEBHOOK)["webhooks"][0]["clientConfig"]["caBundle"]).decode())
            await asyncio.Event().wait()

    asyncio.run(run())


def injector(url: str, port: int, folder: str) -> None:
    """As in its pod, until killed."""
    logs.setup("injector", logs.level("error"))
    settings = {"WEFT_LISTEN": f"127.0.0.1:{port}", "WEFT_ADMIN_LISTEN": "127.0.0.1:0", "WEFT_PROXY_TEMPLATE": folder}
    config = load(Config, settings | {"KUBERNETES_SERVICE_HOST": "unused"})

    async def run() -> None:
        async with KubeApi(Cluster(url)) as api:
            await serve_with(config, api, asyncio.Event())

    asyncio.run(run())


class Client:
    """One connection of an API server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def __call__(self, request: bytes) -> None:
        """One review, answered with a patch."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if b"200 OK" not in head[:20] or b'"patch"' not in body:
            raise RuntimeError((head + body).decode())


async def clients(port: int, authority: str) -> list[Client]:
    """Connections, once there is a server."""
    context = ssl.create_default_context(cadata=authority)

    async def connect() -> Client:
        while True:
            try:
                names = {"ssl": context, "server_hostname": "injector.weft.svc"}
                return Client(*await asyncio.open_connection("127.0.0.1", port, **names))  # type: ignore[arg-type]
            except OSError:
                await asyncio.sleep(0.1)

    return [await connect() for _ in range(CONNECTIONS)]


async def flood(every: list[Client], seconds: float) -> int:
    """As many as go; how many were answered."""
    end, answered = time.monotonic() + seconds, 0

    async def ask(client: Client) -> None:
        nonlocal answered
        request = review(answered)
        while time.monotonic() < end:
            await client(request)
            answered += 1

    async with asyncio.TaskGroup() as tasks:
        for client in every:
            tasks.create_task(ask(client))
    return answered


async def steady(every: list[Client], seconds: float) -> list[float]:
    """STEADY a second; milliseconds of each, sorted."""
    took: list[float] = []
    due, request = time.monotonic(), review(0)
    for number in range(int(seconds * STEADY)):
        due += 1 / STEADY
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        began = time.monotonic()
        await every[number % CONNECTIONS](request)
        took.append(1000 * (time.monotonic() - began))
    return sorted(took)


async def measure(pid: int, port: int, authority: str, seconds: float) -> dict[str, float]:
    """One run; a second of it warms up."""
    every = await clients(port, authority)
    await flood(every, 1)
    before = cpu_s(pid)
    answered = await flood(every, seconds)
    used = cpu_s(pid) - before
    took = await steady(every, seconds)
    return {
        "reviews_per_s_core": round(answered / used, 1),
        "reviews_per_s": round(answered / seconds, 1),
        "review_p50_ms": round(statistics.median(took), 2),
        "review_p99_ms": round(took[int(0.99 * len(took))], 2),
        "rss_mb": round(rss_mb(pid), 1),
    }


def main(seconds: float) -> dict[str, float]:
    """A cluster, an injector, and API servers that ask it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    kube = context.Process(target=kubernetes, args=(theirs,), daemon=True)
    kube.start()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "template.json").write_text(json.dumps(TEMPLATE))
        server = context.Process(target=injector, args=(ours.recv(), port, folder), daemon=True)
        server.start()
        assert server.pid
        try:
            return asyncio.run(measure(server.pid, port, ours.recv(), seconds))
        finally:
            server.kill()
            kube.kill()


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)))
