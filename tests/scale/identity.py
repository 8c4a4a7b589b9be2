"""How many certificates a second one core of identity signs, each after a TokenReview.

    uv run python tests/scale/identity.py [SECONDS]

Kubernetes is FakeKube and identity a process of its own; the requests come from 200 service accounts, since each has
a share. Prints one JSON object; `certs_per_s_core` is what a second of identity's CPU time gives.
"""

import asyncio
import base64
import itertools
import json
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import grpc
from processes import cpu_s, free_port, rss_mb
from weft_api.identity.v1.identity_pb2 import CertifyRequest
from weft_api.identity.v1.identity_pb2_grpc import IdentityStub
from weft_identity.app import serve_with
from weft_identity.config import Config
from weft_kube.api import Cluster, KubeApi
from weft_pki.csr import new_request
from weft_pki.keys import new_key
from weft_runtime import logs
from weft_runtime.config import load
from weft_testkit.fake_kube import FakeKube, Recorded
from weft_testkit.objects import namespace

ACCOUNTS = 200
CHANNELS, CALLS = 8, 64


def token(number: int) -> str:
    """A token that claims to be an account's, as long as real ones are."""
    claims = json.dumps({"sub": f"system:serviceaccount:ns:sa-{number}", "pad": "x" * 700}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.{'s' * 340}"


TOKENS = {token(number): number for number in range(ACCOUNTS)}


def review(request: Recorded) -> dict[str, Any]:
    """The account that a token is of."""
    number = TOKENS[request.body["spec"]["token"]]
    extra = {"authentication.kubernetes.io/pod-uid": [f"pod-{number}"]}
    user = {"username": f"system:serviceaccount:ns:sa-{number}", "extra": extra}
    return {"status": {"authenticated": True, "user": user, "audiences": ["identity.weft.dev"]}}


def kubernetes(pipe: Connection) -> None:
    """A fake cluster until killed."""

    async def run() -> None:
        async with FakeKube() as kube:
            kube.put(namespace("weft"))
            kube.on_request("POST", ".*/tokenreviews", review)
            pipe.send(kube.cluster.url)
            while True:
                await asyncio.sleep(1)
                kube.requests.clear()

    asyncio.run(run())


def identity(url: str, port: int, admin: int) -> None:
    """As in its pod, until killed."""
    logs.setup("identity", logs.level("error"))
    settings = {"WEFT_LISTEN": f"127.0.0.1:{port}", "WEFT_ADMIN_LISTEN": f"127.0.0.1:{admin}"}
    config = load(Config, settings | {"KUBERNETES_SERVICE_HOST": "unused"})

    async def run() -> None:
        async with KubeApi(Cluster(url)) as api:
            await serve_with(config, api, asyncio.Event())

    asyncio.run(run())


async def certify(port: int, seconds: float) -> int:
    """Asks for certificates from many channels; how many were given."""
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("weft.channel", n)]) for n in range(CHANNELS)]
    stubs = itertools.cycle([IdentityStub(channel) for channel in channels])
    csrs = ((CertifyRequest(token=each, csr=new_request(new_key())), f"10.0.0.{n}") for each, n in TOKENS.items())
    requests = itertools.cycle(list(csrs))
    end, given = time.monotonic() + seconds, 0

    async def ask() -> None:
        nonlocal given
        while time.monotonic() < end:
            request, address = next(requests)
            await next(stubs).Certify(request, metadata=[("weft-client-address", address)], wait_for_ready=True)
            given += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CALLS):
            tasks.create_task(ask())
    for channel in channels:
        await channel.close()
    return given


def main(seconds: float) -> dict[str, float]:
    """One run; a second of it warms up."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    kube = context.Process(target=kubernetes, args=(theirs,), daemon=True)
    kube.start()
    port, admin = free_port(), free_port()
    server = context.Process(target=identity, args=(ours.recv(), port, admin), daemon=True)
    server.start()
    assert server.pid
    try:
        asyncio.run(certify(port, 1))
        before, began = cpu_s(server.pid), time.monotonic()
        given = asyncio.run(certify(port, seconds))
        used, took = cpu_s(server.pid) - before, time.monotonic() - began
        memory = rss_mb(server.pid)
    finally:
        server.kill()
        kube.kill()
    return {
        "certs_per_s_core": round(given / used, 1),
        "certs_per_s": round(given / took, 1),
        "rss_mb": round(memory, 1),
    }


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)))
