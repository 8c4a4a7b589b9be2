"""The tap API: its path, its errors, and its events with a clock beside them."""

import json
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from weft.errors import ApiError, Failure
from weft.names import TAP_PATH

if TYPE_CHECKING:
    from weft.cluster import Kube
    from weft.resources import Resource

TICK_SECONDS = 0.25
AGAIN_SECONDS = 2.0
AGAIN = "Asking again; requests meanwhile are not seen."
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


def events(
    kube: "Kube", where: str, query: dict[str, str], seconds: float | None, tell: Callable[[str], None] | None = None
) -> Iterator[Event | None]:
    """Events as they happen, and None whenever nothing came for a moment; ends with the stream or after `seconds`.

    A stream that breaks is a Failure; with `tell` it is told, and opened again.
    """
    arrived: queue.Queue[Event | Exception | None] = queue.Queue()
    ended = threading.Event()
    stream = _endless(kube, where, query, tell, ended) if tell else _stream(kube, where, query)
    threading.Thread(target=_read, args=(stream, arrived), daemon=True).start()
    deadline = time.monotonic() + seconds if seconds else float("inf")
    try:
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
    finally:
        ended.set()


def _read(stream: Iterator[Event], arrived: "queue.Queue[Event | Exception | None]") -> None:
    try:
        for event in stream:
            arrived.put(event)
    except Exception as error:  # noqa: BLE001 - raised again where the events are taken
        arrived.put(error)
    arrived.put(None)


def _endless(
    kube: "Kube", where: str, query: dict[str, str], tell: Callable[[str], None], ended: threading.Event
) -> Iterator[Event]:
    """Events of one stream after another, until one ends as it should; before the first event a failure is one.

    Later ones are told, each once until events come again.
    """
    told: str | None = None
    while not ended.is_set():
        try:
            for event in _stream(kube, where, query):
                told = ""
                yield event
        except Failure as failure:
            if told is None:
                raise
            if failure.message != told:
                told = failure.message
                tell(f"{told}. {AGAIN}")
        else:
            return
        query = {name: value for name, value in query.items() if name != "replay"}
        ended.wait(AGAIN_SECONDS)


def _stream(kube: "Kube", where: str, query: dict[str, str]) -> Iterator[Event]:
    try:
        for line in kube.lines(where, **query):
            yield json.loads(line)
    except ApiError as error:
        raise explained(error, where) from error
    except ValueError as error:
        raise Failure(f"tap sent what is not JSON: {error}", "See `weft check`.") from error


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
