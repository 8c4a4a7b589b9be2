"""The OpenAPI 3.1 document of the public API, made from the answers' structs and the parameters' table."""

from dataclasses import dataclass
from typing import Any

import msgspec

from weft_web import model
from weft_web.question import PARAMETERS

PLAIN = ("kind", "namespace", "name", "window")
TAP_PARAMETERS = {
    "namespace": "where",
    "kind": "deployment, pod, … or namespace for all of it",
    "name": "one object",
    "method": "HTTP method",
    "path": "prefix of the path",
    "authority": "the request's authority",
    "status": "500, 5xx or 400-499",
    "min_latency": "200ms, 1s: only what took at least so long",
    "header": "NAME or NAME=VALUE of a request header",
    "identity": "SPIFFE ID of the other side",
    "to": "KIND/NAME of the destination",
    "to_namespace": "namespace of the destination",
    "direction": "inbound or outbound",
    "limit": "end after so many events",
    "max_rps": "at most so many events a second (default 100)",
    "replay": "begin with the last so many requests of each proxy (0, none, to 256)",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One path: what it answers with; without a struct it is a stream of events, whose data is any of `events`."""

    path: str
    summary: str
    answer: type[msgspec.Struct] | None
    parameters: dict[str, str]
    events: tuple[type[msgspec.Struct], ...] = ()
    """Empty: the tap's own objects, which web hands on."""


def _known(*names: str) -> dict[str, str]:
    return {name: PARAMETERS[name] for name in names}


_ONE = {"namespace": "where it is", "kind": PARAMETERS["kind"], "name": "which one"}
_VIEW = {"view": "any path above that answers with JSON"}
_VIEWS = (
    Operation("version", "Web's version, and where Grafana is.", model.Version, {}),
    Operation("namespaces", "Every namespace with its traffic.", model.Stat, _known("window", "selector")),
    Operation("names", "What there is, by name alone.", model.Names, _known("kind", "namespace")),
    Operation("stat", "Objects of one kind with their traffic.", model.Stat, PARAMETERS),
    Operation("stat/stream", "As `stat`, pushed: all rows, then those that change.", None, PARAMETERS, (model.Change,)),
    Operation("edges", "Who talks with whom, by which identity.", model.Edges, _known(*PLAIN)),
    Operation("routes", "Requests by route and Service.", model.Routes, _known(*PLAIN, "to", "to_namespace")),
    Operation("inbound", "What objects receive, by route and client.", model.Inbound, _known(*PLAIN)),
    Operation("outbound", "What objects send, by route and backend.", model.Outbound, _known(*PLAIN)),
    Operation("topology", "A namespace's workloads and their neighbours.", model.Topology, _known(*PLAIN)),
    Operation("workload", "One object: traffic, pods, neighbours, routes.", model.Workload, _ONE | _known("window")),
    Operation(
        "history",
        "One object's golden signals over time (30 minutes), and its rollouts.",
        model.History,
        _ONE | _known("window"),
    ),
    Operation("identities", "Trust chain, identities, plain text.", model.Identities, _known("namespace", "window")),
    Operation("problems", "What is wrong, worst first, and why.", model.Problems, _known("namespace", "window")),
    Operation("policies", "What policies refused.", model.Policies, _known("namespace", "window")),
    Operation("check", "Health of the mesh as web sees it.", model.Checks, {}),
)
_ANSWERS = dict.fromkeys(one.answer for one in _VIEWS if one.answer)
_LOOKS: tuple[type[msgspec.Struct], ...] = (model.Change, *(one for one in _ANSWERS if one is not model.Stat))
OPERATIONS = (
    *_VIEWS,
    Operation("stream", "Any view, pushed whenever it changes.", None, _VIEW | PARAMETERS, _LOOKS),
    Operation("tap", "Live requests, each when it has ended.", None, TAP_PARAMETERS),
)


def document(version: str) -> dict[str, Any]:
    """The whole document."""
    answers = [operation.answer for operation in OPERATIONS if operation.answer] + [model.Error, model.Change]
    _, schemas = msgspec.json.schema_components(answers, ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "weft: public API of web", "version": version, "license": {"name": "Apache-2.0"}},
        "paths": {f"/api/v1/{operation.path}": {"get": _operation(operation)} for operation in OPERATIONS},
        "components": {"schemas": schemas},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    name = operation.answer.__name__ if operation.answer else ""
    content = {"application/json": _ref(name)} if name else {"text/event-stream": {"schema": _events(operation)}}
    return {
        "operationId": operation.path.replace("/", "_"),
        "summary": operation.summary,
        "parameters": [
            {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
            for name, text in operation.parameters.items()
        ],
        "responses": {
            "200": {"description": operation.summary, "content": content},
            "default": {"description": "Refused, and why.", "content": {"application/json": _ref("Error")}},
        },
    }


def _events(operation: Operation) -> dict[str, Any]:
    """Of a stream: text, each `data` of which is JSON."""
    data: dict[str, Any] = {"anyOf": [_ref(event.__name__)["schema"] for event in operation.events]}
    content = data if operation.events else {"type": "object"}
    told = "Server-sent events; the schema is that of each one's data. The event `failure` has an Error."
    return {"type": "string", "description": told, "contentMediaType": "application/json", "contentSchema": content}


def _ref(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}
