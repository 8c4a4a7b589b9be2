"""A rotation of the trust anchor, as identity tells of it in ConfigMap weft-rotation."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from weft.cluster import Kube
from weft.errors import Failure
from weft.names import NAMESPACE, ROTATION

PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
STEPS = (
    ("trusting", "a second anchor joins the trust bundle; ends when every proxy has shown that it holds both"),
    ("signing", "an issuer is made under the new anchor, and every proxy asks for a certificate anew"),
    ("leaving", "ends when no live certificate rests on the old anchor"),
    ("closing", "the old anchor leaves the trust bundle"),
)
SHOWN = 3
"""Names of pods in a line."""

POLL_SECONDS = 2.0
ANSWER_SECONDS = 60.0
"""Identity looks at once; without its watch, within a minute."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rotation stands, and for whom it waits."""

    phase: str = "idle"
    requested: bool = False
    note: str = ""
    pods: int = 0
    waiting: int = 0
    names: tuple[str, ...] = ()

    @property
    def idle(self) -> bool:
        """Is there nothing under way or asked for?"""
        return self.phase == "idle" and not self.requested

    def line(self) -> str:
        """For people."""
        if self.phase == "idle":
            return "waiting for identity" if self.requested else self.note or "idle"
        if not self.waiting:
            return self.phase
        more = ", …" if self.waiting > SHOWN else ""
        return f"{self.phase}: waits for {self.waiting} of {self.pods} pods ({', '.join(self.names[:SHOWN])}{more})"


def progress(kube: Kube) -> Progress:
    """What identity says now."""
    data: dict[str, str] = (kube.find(f"{PATH}/{ROTATION}") or {}).get("data") or {}
    state, shown = _json(data.get("state", "{}")), _json(data.get("progress", "{}"))
    return Progress(
        str(state.get("phase", "idle")),
        "requested" in data,
        str(state.get("note", "")),
        int(shown.get("pods", 0)),
        int(shown.get("waiting", 0)),
        tuple(shown.get("names", ())),
    )


def request(kube: Kube) -> None:
    """Wishes for a rotation; identity begins it."""
    data = {"requested": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    if kube.find(f"{PATH}/{ROTATION}"):
        kube.merge(f"{PATH}/{ROTATION}", {"data": data})
        return
    kube.post(PATH, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ROTATION}, "data": data})


def follow(
    kube: Kube, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Progress]:
    """Each change until the rotation has ended; Failure when identity takes no notice."""
    last, began = None, clock()
    while True:
        now = progress(kube)
        if now != last:
            yield now
            last = now
        if now.idle:
            return
        if now.phase == "idle" and clock() - began > ANSWER_SECONDS:
            raise Failure("identity takes no notice of the wish", "See `weft check` and the log of deploy/identity.")
        sleep(POLL_SECONDS)


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
