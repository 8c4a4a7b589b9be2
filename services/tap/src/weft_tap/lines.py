"""What a tap answers with: one JSON object a line. Pure."""

from collections.abc import Mapping

import msgspec
from weft_api.tap.v1 import tap_pb2

from weft_tap.subject import Target

_DIRECTION = {tap_pb2.DIRECTION_INBOUND: "inbound", tap_pb2.DIRECTION_OUTBOUND: "outbound"}
_RESULT = {
    tap_pb2.RESULT_SUCCESS: "success",
    tap_pb2.RESULT_FAILURE: "failure",
    tap_pb2.RESULT_CANCELLED: "cancelled",
}
REFUSALS = ("E114", "E115", "E117")
"""Errors of a proxy that refuses what a policy does not allow: as in its metrics, neither success nor failure."""

_SPECIAL = ("direction", "result", "request_headers", "response_headers", "skipped")
_PLAIN = tuple(field.name for field in tap_pb2.Event.DESCRIPTOR.fields if field.name not in _SPECIAL)


def event_line(event: tap_pb2.Event, target: Target, skipped: int) -> bytes:
    """An event, with every field of tap/v1 in snake case and the pod whose proxy saw it."""
    record = {name: getattr(event, name) for name in _PLAIN}
    record |= {
        "direction": _DIRECTION.get(event.direction, ""),
        "result": _result(event),
        "request_headers": _headers(event.request_headers),
        "response_headers": _headers(event.response_headers),
        "skipped": skipped,
        "pod": target.pod,
        "namespace": target.namespace,
    }
    return msgspec.json.encode(record) + b"\n"


def status_line(pods: int, unmeshed: int, failing: Mapping[str, str]) -> bytes:
    """Whom the tap listens to: pods with a proxy, those without, and why a proxy cannot be reached."""
    return msgspec.json.encode({"status": {"pods": pods, "unmeshed": unmeshed, "failing": failing}}) + b"\n"


def _result(event: tap_pb2.Event) -> str:
    return "denied" if event.error.startswith(REFUSALS) else _RESULT.get(event.result, "")


def _headers(headers: object) -> list[dict[str, str]]:
    return [{"name": header.name, "value": header.value} for header in headers]  # type: ignore[attr-defined]
