"""Objects that no reasonable client sends: an answer, in bounded time, and the next review is served."""

import io
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from weft_injector.app import PATH
from weft_injector.events import Recorder
from weft_injector.metrics import Metrics
from weft_injector.owners import Owners
from weft_injector.review import Reviewer
from weft_kube.api import Cluster, KubeApi
from weft_kube.objects import Meta
from weft_sidecar.template import Template
from weft_testkit.listen import asking
from weft_webhook.server import MAX_BODY, webhook_routes

Json = dict[str, Any]
SHOP = Meta("shop", labels={"weft.dev/inject": "enabled"})
MEGABYTE = "1," * 2**19


async def answer(template: Template, obj: Any, registry: CollectorRegistry | None = None) -> Json:
    """What a review of this object is answered; owners cannot be asked."""
    metrics = Metrics(registry or CollectorRegistry())

    async def fetch(_: str) -> Meta:
        return SHOP

    async with KubeApi(Cluster("http://127.0.0.1:1")) as api:
        owners = Owners(api)
        recorder = Recorder(api, owners, metrics)
        reviewer = Reviewer(template, owners, recorder, metrics, known=lambda _: SHOP, fetch=fetch)
        request = {"uid": "r1", "operation": "CREATE", "namespace": "shop", "object": obj}
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        routes = webhook_routes(PATH, reviewer.review, fail_open=False, on_malformed=metrics.malformed.inc)
        async with asking(routes, MAX_BODY) as client:
            response = await client.post(PATH, data=io.BytesIO(msgspec.json.encode(body)))
            assert response.status == 200
            found: Json = (await response.json())["response"]
            return found


@pytest.mark.parametrize(
    ("name", "allowed"), [("team", True), ("config.weft.dev/proxy-log-level", False), ("weft.dev/inject", False)]
)
async def test_a_megabyte_in_an_annotation_gets_an_answer(
    template: Template, bare_pod: Json, name: str, allowed: bool
) -> None:
    """Somebody's own, an option, the mark: let in or refused, by a message of bounded length, and counted."""
    bare_pod["metadata"]["annotations"] = {name: MEGABYTE}
    registry = CollectorRegistry()
    found = await answer(template, bare_pod, registry)
    labels = {"outcome": "injected" if allowed else "refused", "reason": ""}
    assert registry.get_sample_value("weft_injector_reviews_total", labels) == 1
    assert len(found.get("status", {}).get("message", "")) < 2_000
    assert found["allowed"] is allowed


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["metadata", "spec", "annotations", "labels", "containers", "name", "ownerReferences", "volumes"]
)
OBJECTS = st.recursive(
    VALUES, lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=2), max_leaves=12
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(obj=OBJECTS)
async def test_no_object_leaves_the_api_server_without_an_answer(template: Template, obj: Any) -> None:
    """Whatever stands where a pod should: allowed, or refused with a reason."""
    found = await answer(template, obj)
    assert found["allowed"] or found["status"]["message"]
