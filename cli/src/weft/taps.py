"""The tap API: its path, its errors, and its events with a clock beside them."""

import json
import queue
import re
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from weft.errors import ApiError, Failure
from weft.names import TAP_PATH

if TYPE_CHECKING:
    from weft.cluster import Kube
    from weft.resources import Resource

TICK_SECONDS = 0.25
NO_API = ("could not find the requested resource", "404 page not found")
VIEWER = "weft-tap-viewer"
"""The ClusterRole that allows to tap."""
Event = dict[str, Any]


def path(namespace: str, resource: "Resource") -> str:
    """Where to watch a resource, or a whole namespace."""
    if resource.kind == "namespace":
        resource = resource._replace(name=resource.name or namespace)
        namespace = resource.name
    if not resource.name:
        raise Failure(f"tap needs one {resource.kind}", f"Write {resource.kind}/NAME, or ns/{namespace} for all.")
    return f"{TAP_PATH}/namespaces/{namespace}/{resource.plural}/{resource.name}/tap"


def events(kube: "Kube", where: str, query: dict[str, str], seconds: float | None) -> Iterator[Event | None]:
    """Events as they happen, and None whenever nothing came for a moment; ends with the stream or after `seconds`."""
    arrived: queue.Queue[Event | Exception | None] = queue.Queue()
    threading.Thread(target=_read, args=(kube, where, query, arrived), daemon=True).start()
    deadline = time.monotonic() + seconds if seconds else float("inf")
    while (left := deadline - time.monotonic()) > 0:
        try:
            event = arrived.get(timeout=min(TICK_SECONDS, left))
        except queue.Empty:
            yield None
            continue
        if event is None:
            return
        if isinstance(event, Exception):
            raise event
        yield event


def _read(kube: "Kube", where: str, query: dict[str, str], arrived: "queue.Queue[Event | Exception | None]") -> None:
    try:
        for line in kube.lines(where, **query):
            arrived.put(json.loads(line))
    except ApiError as error:
        arrived.put(explained(error, where))
    except ValueError as error:
        arrived.put(Failure(f"tap sent what is not JSON: {error}", "See `weft check`."))
    except Exception as error:  # noqa: BLE001 - raised again where the events are taken
        arrived.put(error)
    arrived.put(None)


def explained(error: ApiError, where: str) -> Failure:
    """The same refusal, with what would help here."""
    if error.status == 403:
        told = VIEWER in error.message
        return error if told else Failure(error.message, f"To grant it: {_grant(error.message, where)}")
    if error.status == 404 and any(words in error.message for words in NO_API):
        return Failure("the tap API is not there: viz is not installed", "Run `weft viz install | kubectl apply -f -`.")
    if error.status == 503:
        return Failure(f"the tap API is not available: {error.message}", "See `weft check`.")
    return error


def _grant(message: str, where: str) -> str:
    """The command that lets the user tap this namespace."""
    namespace = where.removeprefix(f"{TAP_PATH}/namespaces/").partition("/")[0]
    user = found[1] if (found := re.search(r'[Uu]ser "([^"]+)"', message)) else "NAME"
    return f"kubectl create rolebinding weft-tap -n {namespace} --clusterrole={VIEWER} --user={user}"
