"""sp-validator as a whole: a fake Kubernetes keeps its certificate, reviews come over TLS."""

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from weft_kube.api import KubeApi
from weft_runtime.config import Address
from weft_sp_validator.app import serve_with
from weft_sp_validator.config import Config
from weft_testkit.fake_kube import FakeKube
from weft_testkit.wait import until

CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/weft-sp-validator"
GOOD = {"routes": [{"name": "brew", "condition": {"pathRegex": "/brew"}}]}
BAD = {"routes": [{"name": "brew", "condition": {"pathRegex": "/brew("}}]}

Post = Callable[..., Awaitable[dict[str, Any]]]


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def bundle(kube: FakeKube) -> bytes:
    """What the API server would trust; empty at first."""
    client = kube.get(CONFIGURATION)["webhooks"][0]["clientConfig"]
    return base64.b64decode(client.get("caBundle", ""))


def profile(spec: Any) -> dict[str, Any]:
    """A ServiceProfile."""
    return {"kind": "ServiceProfile", "metadata": {"name": "counter"}, "spec": spec}


def review(operation: str, new: Any, old: Any = None) -> dict[str, Any]:
    """A review of a ServiceProfile."""
    kind = {"group": "weft.dev", "version": "v1alpha1", "kind": "ServiceProfile"}
    request = {"uid": "u1", "operation": operation, "kind": kind, "object": new, "oldObject": old}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


@asynccontextmanager
async def validator() -> AsyncIterator[Post]:
    """A running sp-validator, and what posts a review to it as the API server does."""
    ports = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
    config = Config(*ports, namespace="weft", log_level=20, kubernetes_host="", kubernetes_port="")
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        meta = {"name": "weft-sp-validator"}
        webhooks = [{"name": "serviceprofiles.sp-validator.weft.dev", "clientConfig": {}}]
        kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
        kube.put({**kind, "metadata": meta, "webhooks": webhooks})
        stop = asyncio.Event()
        tasks.create_task(serve_with(config, api, stop))
        await until(lambda: bundle(kube))
        trust = ssl.create_default_context(cadata=bundle(kube).decode())

        async def post(*of: Any) -> dict[str, Any]:
            url, host = f"https://{config.listen}/validate", "sp-validator.weft.svc"
            async with aiohttp.request("POST", url, json=review(*of), ssl=trust, server_hostname=host) as answer:
                response: dict[str, Any] = (await answer.json())["response"]
                return response

        yield post
        stop.set()


async def test_profiles_are_reviewed_over_tls() -> None:
    """A good one passes, a bad one is refused with field and reason."""
    async with validator() as post:
        assert (await post("CREATE", profile(GOOD)))["allowed"]
        refused = await post("CREATE", profile(BAD))
        message = "spec.routes[0].condition.pathRegex: unterminated group at 5; did you mean /brew()?"
        assert (refused["allowed"], refused["status"]) == (False, {"message": message, "code": 422})


async def test_an_update_may_leave_an_old_fault() -> None:
    """A label on a profile that was let in before is no new fault: warnings only. Deleting is always allowed."""
    async with validator() as post:
        unchanged = await post("UPDATE", profile(BAD), profile(BAD))
        assert (unchanged["allowed"], len(unchanged["warnings"])) == (True, 1)
        assert not (await post("UPDATE", profile(BAD), profile(GOOD)))["allowed"]
        assert (await post("DELETE", None, profile(BAD)))["allowed"]
