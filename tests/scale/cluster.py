"""A real API server: 1,000 Services and 2,000 pods as plain objects in a namespace of their own, proxies that watch
them, changes by PATCH; at the end what every proxy holds is compared with what the API server says. KUBECONFIG in the
environment; the namespace is deleted afterwards. Prints its part of bench/results/scale.json.

    eval "$(make -s env)" && uv run python tests/scale/cluster.py [--services 100 --pods 200 --proxies 50]
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any

from processes import Destination, Json, Load
from weft_kube.api import ApiError, Cluster, KubeApi
from weft_testkit.objects import endpoint, endpoint_slice, pod, service

NAMESPACE = f"scale-{os.getpid()}"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
# Nobody but destination is to act upon the objects: neither kube-proxy nor the scheduler.
UNSERVED = {"service.kubernetes.io/service-proxy-name": "none"}
MESHED = {"weft.dev/proxy-version": "0.1.0", "weft.dev/workload-kind": "deployment", "weft.dev/workload": "web"}
AT_ONCE = 8


def ip(number: int) -> str:
    """A pod's address, of a network that no cluster uses."""
    return f"198.18.{number >> 8}.{number & 255}"


def slice_of(number: int, pods: int, zone: str) -> Json:
    """The slice of service-<number>, with two pods."""
    members = [(2 * number + i) % pods for i in range(2)]
    made = endpoint_slice(
        NAMESPACE,
        f"service-{number}",
        f"service-{number}",
        [endpoint(ip(n), f"pod-{n}", NAMESPACE, zone=zone) for n in members],
    )
    made["metadata"]["labels"] |= UNSERVED
    return made


async def put_pod(api: KubeApi, number: int) -> None:
    """A pod that no scheduler takes and that says it runs."""
    made = pod(NAMESPACE, f"pod-{number}", labels=MESHED)
    made["spec"] = {"schedulerName": "nobody", "containers": [{"name": "app", "image": "app:1"}]}
    status = {"phase": "Running", "podIP": ip(number), "podIPs": [{"ip": ip(number)}]}
    del made["status"]
    await api.create(f"{CORE}/pods", made)
    await api.merge(f"{CORE}/pods/pod-{number}/status", {"status": status})


async def put_service(api: KubeApi, number: int, pods: int) -> None:
    """A Service without selector, and its slice."""
    made = service(NAMESPACE, f"service-{number}", selector={})
    made["metadata"]["labels"] = UNSERVED
    made["spec"].pop("clusterIP")
    made["spec"].pop("clusterIPs")
    await api.create(f"{CORE}/services", made)
    await api.create(SLICES, slice_of(number, pods, "z1"))


async def all_of(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs the work, a few at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(coroutine: Coroutine[Any, Any, None]) -> None:
        async with room:
            await coroutine

    async with asyncio.TaskGroup() as tasks:
        for coroutine in work:
            tasks.create_task(one(coroutine))


@contextlib.asynccontextmanager
async def filled(url: str, services: int, pods: int) -> AsyncIterator[KubeApi]:
    """The namespace with its objects, and without a trace of them afterwards."""
    async with KubeApi(Cluster(url)) as api:
        await api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        try:
            await asyncio.sleep(1)  # the default ServiceAccount, without which no pod is admitted
            await all_of(put_pod(api, number) for number in range(pods))
            await all_of(put_service(api, number, pods) for number in range(services))
            yield api
        finally:
            with contextlib.suppress(ApiError):
                # These pods run nowhere: nobody would end them gracefully.
                await api.request("DELETE", f"{CORE}/pods", body={"gracePeriodSeconds": 0})
            await api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


async def change(api: KubeApi, size: argparse.Namespace) -> None:
    """Changes slices one after another: each tells in its zone when it was sent."""
    for _ in range(size.changes):
        number = random.randrange(size.services)  # noqa: S311
        zone = f"t{time.time_ns() // 1000}"
        await api.merge(f"{SLICES}/service-{number}", {"endpoints": slice_of(number, size.pods, zone)["endpoints"]})


async def truth(api: KubeApi) -> dict[int, str]:
    """What the API server says about each service, as the load generator writes it."""
    listed = json.loads(await api.request("GET", SLICES))["items"]
    return {
        int(item["metadata"]["name"].removeprefix("service-")): " ".join(
            sorted(f"{e['addresses'][0]}:8080/{e['zone']}/{e['targetRef']['name']}" for e in item["endpoints"])
        )
        for item in listed
    }


async def measured(url: str, load: Load, size: argparse.Namespace) -> Json:
    """The figures; creating the objects is not measured."""
    async with filled(url, size.services, size.pods) as api:
        destination = await asyncio.to_thread(Destination, url)
        try:
            load("to", to=[destination.address])
            shared = max(1, size.proxies * size.each // (size.services - 1))
            await asyncio.to_thread(
                load, "connect", proxies=size.proxies, each=size.each, shared=shared, seconds=60, namespace=NAMESPACE
            )
            load("forget")
            await change(api, size)
            ran = await asyncio.to_thread(load, "settle")
            compared = load("compare", truth=await truth(api))
            rss = round(destination.rss_mb())
        finally:
            destination.kill()
    return {
        "services": size.services,
        "pods": size.pods,
        "proxies": size.proxies,
        "rss_mb": rss,
        "write_to_proxy_p50_ms": round(ran["p50_ms"], 1),
        "write_to_proxy_p99_ms": round(ran["p99_ms"], 1),
        "stale_streams": compared["stale"],
    }


def main() -> None:
    """Parses the size and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=2000)
    parser.add_argument("--proxies", type=int, default=500)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--changes", type=int, default=500)
    size = parser.parse_args()
    # Its loopback port needs no credentials: the proxy has those of the kubeconfig.
    with subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout
        url = f"http://127.0.0.1:{proxy.stdout.readline().rsplit(':', 1)[1].strip()}"
        load = Load()
        try:
            print(json.dumps(asyncio.run(measured(url, load, size)), indent=1))
        finally:
            load.close()
            proxy.terminate()


if __name__ == "__main__":
    main()
