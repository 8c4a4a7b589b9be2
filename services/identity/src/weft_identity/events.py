"""Kubernetes Events about identity's Secrets, where `kubectl describe` and `kubectl get events` show them."""

import uuid
from datetime import UTC, datetime

import structlog
from weft_kube.api import KubeApi

from weft_identity.faults import FAILURES


class Events:
    """Events in one namespace."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def warn(self, secret: str, reason: str, message: str) -> None:
        """A Warning about a Secret; one that cannot be written is only logged."""
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {"apiVersion": "v1", "kind": "Secret", "name": secret, "namespace": self._namespace}
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{secret}.{uuid.uuid4().hex[:16]}", "namespace": self._namespace},
            "involvedObject": about,
            "type": "Warning",
            "reason": reason,
            "message": message[:1024],
            "source": {"component": "weft-identity"},
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        }
        try:
            await self._api.create(f"/api/v1/namespaces/{self._namespace}/events", body)
        except FAILURES as error:
            structlog.get_logger().warning("event not written", reason=reason, error=str(error))
