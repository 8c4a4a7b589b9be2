"""The trust chain, from the anchors down to each workload's certificate, and what is not encrypted, with the reason."""

import asyncio
import hashlib
import ssl
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec
from weft_kube.api import FAILURES, KubeApi
from weft_kube.names import TRUST_BUNDLE, TRUST_BUNDLE_KEY, spiffe_id
from weft_kube.workloads import in_mesh, running

from weft_web import notes, promql
from weft_web.catalog import Catalog
from weft_web.edges import edges
from weft_web.mesh import Mesh
from weft_web.model import Anchor, Edge, Identities, Identity
from weft_web.prometheus import Prometheus, known
from weft_web.question import Question
from weft_web.stat import ask_all
from weft_web.table import group

ISSUER = "min(weft_identity_issuer_expiry_timestamp_seconds)"


class _Bundle(msgspec.Struct):
    data: dict[str, str] = {}


async def identities(
    question: Question, catalog: Catalog, prometheus: Prometheus, api: KubeApi, mesh: Mesh
) -> Identities:
    """Identities of one namespace or all; anchors as the control plane's namespace has them in its trust bundle."""
    links, (found, refused), ((issuer, expiry), unknown) = await asyncio.gather(
        edges(question, catalog, prometheus, mesh.trust_domain, promql.WORKLOADS),
        _anchors(api, mesh.namespace),
        known(_expiries(question, prometheus), (None, {})),
    )
    plain = [edge for edge in links.rows if edge.tls != "true" and not _unsent(edge)]
    rows = _rows(question.namespace, catalog, expiry, mesh.trust_domain)
    warnings = dict.fromkeys((*links.warnings, *refused, *unknown))
    return Identities(question.window, mesh.trust_domain, found, issuer, rows, plain, list(warnings))


def _unsent(edge: Edge) -> bool:
    """What a client's proxy could send nowhere went over no network, so it was not in plain text either."""
    return edge.success == 0 and edge.reason == notes.UNREACHED


def _rows(namespace: str, catalog: Catalog, expiry: dict[tuple[str, ...], float], trust_domain: str) -> list[Identity]:
    found: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for pod in catalog.pod_store.objects.values():
        if namespace in ("", pod.metadata.namespace) and in_mesh(pod) and running(pod):
            found[pod.metadata.namespace, pod.spec.service_account_name].append(expiry.get(pod.key))
    return [
        Identity(spiffe_id(trust_domain, *key), *key, len(ends), min(filter(None, ends), default=None))
        for key, ends in sorted(found.items())
    ]


async def _expiries(question: Question, prometheus: Prometheus) -> tuple[float | None, dict[tuple[str, ...], float]]:
    """When the issuer ends, and each pod's certificate."""
    pods = promql.newest(promql.EXPIRY, question, "min", ("namespace", "pod"), " > 0")
    answers = await ask_all(prometheus, {"issuer": ISSUER, "pods": pods})
    issuer = next((sample.value for sample in answers["issuer"]), None)
    return issuer, group(answers["pods"], ("namespace", "pod"))


async def _anchors(api: KubeApi, mesh: str) -> tuple[list[Anchor], list[str]]:
    """The trust bundle's certificates; and why they are not known, if they are not."""
    try:
        bundle = await api.get(f"/api/v1/namespaces/{mesh}/configmaps/{TRUST_BUNDLE}", _Bundle)
        return anchors(bundle.data.get(TRUST_BUNDLE_KEY, "")), []
    except FAILURES as error:
        return [], [f"the trust bundle cannot be read: {str(error) or type(error).__name__}"]


def anchors(pem: str) -> list[Anchor]:
    """Certificates of a bundle in PEM, by the standard library's own parser; ssl.SSLError when one is broken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem)
    encoded = context.get_ca_certs(binary_form=True)
    return [
        Anchor(_subject(parsed), ssl.cert_time_to_seconds(str(parsed["notAfter"])), hashlib.sha256(der).hexdigest())
        for parsed, der in zip(context.get_ca_certs(), encoded, strict=True)
    ]


def _subject(parsed: Mapping[str, Any]) -> str:
    return ", ".join(value for part in parsed["subject"] for _, value in part)
