"""The client for a web that is exposed (chart value `viz.web.expose`): over HTTPS, with a Kubernetes token.

client = Exposed("https://weft.example", token)
print(client.stat("deployment", namespace="teahouse")["rows"])
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from weft.client import Client
from weft.errors import Failure

READ_SECONDS = 30.0


class Exposed(Client):
    """Answers as `Client` gives them; `events` beside, for streams."""

    def __init__(self, url: str, token: str = "") -> None:
        if not url.startswith(("https://", "http://")):
            raise Failure(f"{url!r} is no URL", "For example https://weft.example.")
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, /, **query: str) -> dict[str, Any]:
        """GET /api/v1/<path>; Failure with the server's message and hint when it refuses."""
        with self._open(path, query) as response:
            found: dict[str, Any] = json.load(response)
            return found

    def events(self, path: str, /, **query: str) -> Iterator[dict[str, Any]]:
        """What `tap`, `stream` or `stat/stream` send, one after another, until the server ends."""
        with self._open(path, query) as response:
            kind = b""
            for line in response:
                name, _, value = line.strip().partition(b": ")
                if name in (b"event", b""):  # an event's kind, or its end
                    kind = value
                elif name == b"data" and kind == b"failure":
                    raise _failure(json.loads(value))
                elif name == b"data":
                    yield json.loads(value)

    def _open(self, path: str, query: dict[str, str]) -> Any:
        given = urlencode({key: value for key, value in query.items() if value})
        url = f"{self._url}/api/v1/{path}" + (f"?{given}" if given else "")
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310
        try:
            return urllib.request.urlopen(request, timeout=READ_SECONDS)  # noqa: S310
        except urllib.error.HTTPError as error:
            raise _failure(_body(error)) from error
        except OSError as error:
            raise Failure(f"{self._url} does not answer: {error}", "Is its name right?") from error


def _body(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.load(error)
    except ValueError:
        return {"error": {"message": f"the server answered {error.code}"}}
    return found


def _failure(body: dict[str, Any]) -> Failure:
    error = body["error"]
    return Failure(error.get("message", ""), error.get("hint", ""))
