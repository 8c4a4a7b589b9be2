"""The whole service: a Kubernetes API on one side, HTTPS on the other."""

import asyncio
import base64
import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from weft_injector.app import serve_with
from weft_injector.config import Config
from weft_kube.api import KubeApi
from weft_runtime.config import load
from weft_sidecar.options import OptionError
from weft_sidecar.template import Template
from weft_testkit.fake_kube import FakeKube
from weft_testkit.wait import until

Json = dict[str, Any]

WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/weft-injector"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def configuration() -> Json:
    """What the chart makes, without a CA."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "weft-injector"},
        "webhooks": [{"name": "namespace.injector.weft.dev", "clientConfig": {"service": {"name": "injector"}}}],
    }


def shop() -> Json:
    """A namespace whose pods get the proxy."""
    metadata = {"name": "shop", "labels": {"weft.dev/inject": "enabled"}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def config(folder: Path, template: Template, port: int, admin: int = 0) -> Config:
    """As the chart sets it, with this template."""
    (folder / "template.json").write_bytes(msgspec.json.encode(template))
    environ = {
        "WEFT_LISTEN": f"127.0.0.1:{port}",
        "WEFT_ADMIN_LISTEN": f"127.0.0.1:{admin}",
        "WEFT_PROXY_TEMPLATE": str(folder),
        "KUBERNETES_SERVICE_HOST": "unused",
    }
    return load(Config, environ)


async def test_defaults_that_do_not_hold_are_told_at_the_start(tmp_path: Path, template: Template) -> None:
    """Each pod would be refused for them: so an upgrade stops at the first new replica, and the old ones go on."""
    faulty = msgspec.structs.replace(template, options={"opaque-ports": "99999"})
    stop = asyncio.Event()
    stop.set()
    async with FakeKube() as kube, KubeApi(kube.cluster) as api:
        with pytest.raises(OptionError, match=r"opaque-ports of the chart: .*99999"):
            await serve_with(config(tmp_path, faulty, free_port()), api, stop)


async def test_a_review_over_https_by_the_published_ca(tmp_path: Path, template: Template, bare_pod: Json) -> None:
    """As the API server does: it trusts the caBundle of the webhook and asks for injector.weft.svc."""
    port, stop = free_port(), asyncio.Event()
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        kube.put(shop())
        kube.put(configuration())
        tasks.create_task(serve_with(config(tmp_path, template, port), api, stop))
        await until(lambda: "caBundle" in kube.get(WEBHOOK)["webhooks"][0]["clientConfig"])
        authority = base64.b64decode(kube.get(WEBHOOK)["webhooks"][0]["clientConfig"]["caBundle"]).decode()
        response = await _review(port, authority, bare_pod)
        stop.set()

    assert response["allowed"] is True
    assert b'"weft-proxy"' in base64.b64decode(response["patch"])


async def test_what_is_no_http_is_refused_and_counted(tmp_path: Path, template: Template, bare_pod: Json) -> None:
    """On the webhook's port, by a caller that speaks TLS; the next review is answered."""
    port, admin, stop = free_port(), free_port(), asyncio.Event()
    async with FakeKube() as kube, KubeApi(kube.cluster) as api, asyncio.TaskGroup() as tasks:
        kube.put(shop())
        kube.put(configuration())
        tasks.create_task(serve_with(config(tmp_path, template, port, admin), api, stop))
        await until(lambda: "caBundle" in kube.get(WEBHOOK)["webhooks"][0]["clientConfig"])
        authority = base64.b64decode(kube.get(WEBHOOK)["webhooks"][0]["clientConfig"]["caBundle"]).decode()
        trusted = ssl.create_default_context(cadata=authority)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusted, server_hostname="injector.weft.svc"
        )
        writer.write(b"\x00\xff\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
        assert (await _review(port, authority, bare_pod))["allowed"] is True
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{admin}/metrics") as answer:
            assert "weft_injector_malformed_total 1.0" in await answer.text()
        stop.set()


async def _review(port: int, authority: str, pod: Json) -> Json:
    request = {"uid": "r1", "operation": "CREATE", "namespace": "shop", "object": pod}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    context = ssl.create_default_context(cadata=authority)
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"https://127.0.0.1:{port}/inject", json=body, ssl=context, server_hostname="injector.weft.svc"
        ) as answer,
    ):
        response: Json = (await answer.json())["response"]
        return response
