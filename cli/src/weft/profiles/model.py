"""Routes and the ServiceProfile that holds them. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

MAX_ROUTES = 500
MAX_NAME = 128
METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")
"""Those that routes have with a path."""


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path: a template whose parameters are whole segments, else a regular expression."""

    method: str
    path: str = ""
    path_regex: str = ""
    title: str = ""
    """The path as people write it, when it is not the template."""
    timeout: str = ""
    retryable: bool = False

    @property
    def name(self) -> str:
        """The route's label in metrics."""
        name = f"{self.method} {self.title or self.path}"
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 9]}-{digest}"

    def document(self) -> dict[str, Any]:
        """As the ServiceProfile has it."""
        path = {"path": self.path} if self.path else {"pathRegex": self.path_regex}
        found: dict[str, Any] = {"name": self.name, "condition": {"method": self.method, **path}}
        if self.timeout:
            found["timeout"] = self.timeout
        if self.retryable:
            found["isRetryable"] = True
        return found


def ordered(routes: Iterable[Route]) -> list[Route]:
    """Each once, and literal segments before parameters: the first match wins."""
    once: dict[tuple[str, str], Route] = {}
    for route in routes:
        once.setdefault((route.method, route.path_regex or _shape(route.path)), route)
    return sorted(once.values(), key=lambda route: [*map(_rank, (route.path or route.title).split("/"))])


def profile(service: str, namespace: str, routes: list[Route]) -> str:
    """The ServiceProfile as YAML."""
    meta = {"name": service, "namespace": namespace}
    spec = {"routes": [route.document() for route in routes]}
    document = {"apiVersion": "weft.dev/v1alpha1", "kind": "ServiceProfile", "metadata": meta, "spec": spec}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def template(service: str, namespace: str) -> str:
    """A ServiceProfile to fill in, with every field explained."""
    return f"""\
# The first route whose condition matches a request is the request's route; its name is the label `route` of metrics.
apiVersion: weft.dev/v1alpha1
kind: ServiceProfile
metadata:
  name: {service}                      # the Service's name
  namespace: {namespace}
spec:
  routes:
    - name: GET /teas/{{id}}
      condition:
        method: GET
        path: /teas/{{id}}             # {{…}} is one segment
      timeout: 300ms                   # for the whole answer, retries included
      isRetryable: true                # a failed request may be sent again, within the retry budget
    - name: POST orders
      condition:
        method: POST
        pathRegex: /(v1/)?orders       # instead of path: over the whole path, without the query
  retryBudget:
    retryRatio: 0.2                    # retries may add 20 % to the first requests
    minRetriesPerSecond: 10            # allowed whatever the ratio
    ttl: 10s                           # over which time the ratio is counted
"""


def _shape(path: str) -> str:
    return "/".join("{}" if _rank(segment) else segment for segment in path.split("/"))


def _rank(segment: str) -> int:
    """A word, a word with a parameter in it, a parameter."""
    return 0 if "{" not in segment else 2 if segment.startswith("{") and segment.find("}") == len(segment) - 1 else 1
