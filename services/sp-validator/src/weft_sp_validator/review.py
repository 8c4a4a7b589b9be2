"""From an AdmissionReview to a decision."""

from typing import Any

import msgspec
import structlog
from weft_webhook.review import Request, Response

from weft_sp_validator import access, profile
from weft_sp_validator.metrics import Metrics

INVALID = 422

KINDS = {
    "ServiceProfile": (profile.faults_of, profile.warnings_of),
    "AccessPolicy": (access.faults_of, access.warnings_of),
}


class Reviewer:
    """Reviews weft's own objects; whatever else it is sent is none of its business."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger()

    def review(self, request: Request) -> Response:
        """Allowed, or refused with every fault at once."""
        with self._metrics.review_duration.time():
            response = decide(request)
        outcome = "allowed" if response.allowed else "refused"
        self._metrics.reviews.labels(outcome).inc()
        self._log.info(
            "reviewed",
            kind=request.kind.kind,
            outcome=outcome,
            namespace=request.namespace,
            name=request.name,
            user=request.user_info.username,
            faults=response.message.splitlines(),
        )
        return response


def decide(request: Request) -> Response:
    """Refused for its faults; but an update that leaves a faulty spec as it was (a label, say) only gets warnings."""
    obj = msgspec.json.decode(request.object)
    if request.kind.kind not in KINDS or request.operation not in ("CREATE", "UPDATE"):
        return Response(allowed=True)
    faults_of, warnings_of = KINDS[request.kind.kind]
    faults = [str(fault) for fault in faults_of(obj)]
    if faults and not _unchanged(obj, msgspec.json.decode(request.old_object)):
        return Response(allowed=False, message="\n".join(faults), code=INVALID)
    warnings = [str(warning) for warning in warnings_of(obj)] if not faults else []
    return Response(allowed=True, warnings=faults + warnings)


def _unchanged(new: Any, old: Any) -> bool:
    return isinstance(old, dict) and isinstance(new, dict) and old.get("spec") == new.get("spec")
