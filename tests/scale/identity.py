"""How many certificates a second one core of identity signs, each after a TokenReview; and what others notice while one
workload asks for 1,000 at once.

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
FLOOD = 1000
OTHERS_PER_SECOND, OTHERS_SECONDS = 50, 4


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


def flood(port: int, pipe: Connection) -> None:
    """One workload, in a process of its own, asks FLOOD times at once when it is told; how many it was given."""
    request = CertifyRequest(token=token(0), csr=new_request(new_key()))

    async def ask() -> list[float | None]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.to_thread(pipe.recv)
            return await asyncio.gather(*(_asked(IdentityStub(channel), request, 0) for _ in range(FLOOD)))

    pipe.send("ready")
    pipe.send(sum(took is not None for took in asyncio.run(ask())))


async def flooded(port: int, pipe: Connection) -> dict[str, float]:
    """Others ask as proxies do, so many a second, all the while: at first alone, then beside the flood, which is given
    its share and refused the rest."""
    await asyncio.to_thread(pipe.recv)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        calm = await _steadily(IdentityStub(channel))
        async with asyncio.TaskGroup() as tasks:
            steady = tasks.create_task(_steadily(IdentityStub(channel)))
            await asyncio.sleep(OTHERS_SECONDS / 2)
            pipe.send("go")
    meanwhile, given = steady.result(), await asyncio.to_thread(pipe.recv)
    return {
        "flood_given": given,
        "flood_refused": FLOOD - given,
        "flood_others_failed": sum(took is None for took in meanwhile),
        "others_p99_ms": _p99_ms(calm),
        "flood_others_p99_ms": _p99_ms(meanwhile),
    }


async def _steadily(stub: IdentityStub) -> list[float | None]:
    """How long each of the others waited for its certificate; None: it was refused."""
    requests = [(CertifyRequest(token=token(n), csr=new_request(new_key())), n) for n in range(1, ACCOUNTS)]
    asked = []
    async with asyncio.TaskGroup() as tasks:
        for request, number in itertools.islice(itertools.cycle(requests), OTHERS_PER_SECOND * OTHERS_SECONDS):
            asked.append(tasks.create_task(_asked(stub, request, number)))
            await asyncio.sleep(1 / OTHERS_PER_SECOND)
    return [each.result() for each in asked]


async def _asked(stub: IdentityStub, request: CertifyRequest, number: int) -> float | None:
    began = time.monotonic()
    try:
        await stub.Certify(request, metadata=[("weft-client-address", f"10.0.0.{number}")], wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return None
    return time.monotonic() - began


def _p99_ms(times: list[float | None]) -> float:
    answered = sorted(took for took in times if took is not None)
    return round(1000 * answered[int(0.99 * (len(answered) - 1))], 1)


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
        near, far = context.Pipe()
        flooding = context.Process(target=flood, args=(port, far), daemon=True)
        flooding.start()
        beside = asyncio.run(flooded(port, near))
    finally:
        server.kill()
        kube.kill()
    return {
        "certs_per_s_core": round(given / used, 1),
        "certs_per_s": round(given / took, 1),
        "rss_mb": round(memory, 1),
        **beside,
    }


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)))
