"""What becomes of requests to a Service's ports, as destination says it, as tables. Pure."""

from collections.abc import Iterator
from typing import Any

from weft.views.table import NONE, table

Json = dict[str, Any]
HEADER = ["PORT", "ROUTE", "REQUESTS", "TIMEOUT", "TRY", "RETRIES", "GO TO", "FROM"]


def policy(ports: list[Json], client: str) -> str:
    """Each Service with its routes, and what holds for all of them."""
    services = dict.fromkeys((port["service"]["namespace"], port["service"]["name"]) for port in ports)
    parts = []
    for namespace, name in services:
        own = [port for port in ports if (port["service"]["namespace"], port["service"]["name"]) == (namespace, name)]
        rows = [row for port in own for row in _rows(port)]
        head = f"svc/{name} in {namespace}, for clients of {client}"
        parts.append("\n".join([head, table(HEADER, rows, left=len(HEADER)), *_shared(own)]))
    return "\n\n".join(parts)


def _rows(port: Json) -> Iterator[list[str]]:
    number = str(port["service"]["port"])
    for route in port["routes"]:
        yield [
            number,
            route["name"] or NONE,
            " or ".join(map(_match, route["matches"])) or "all others",
            _time(route, "timeout", route["timeout_ms"]),
            _time(route, "try-timeout", route["backend_timeout_ms"]),
            _retries(route),
            _goes_to(route),
            route["origin"],
        ]
    if port["no_match_not_found"]:
        yield [number, NONE, "all others", NONE, NONE, NONE, "answer 404", NONE]
    elif not any(not route["matches"] for route in port["routes"]):
        yield [number, NONE, "all others", NONE, NONE, NONE, "the Service", NONE]


def _match(match: Json) -> str:
    path = {"exact": "= ", "prefix": "", "regex": "~ ", "any": ""}[match["path"]] + match["value"]
    path += "/…" if match["path"] == "prefix" else ""
    values = [f"{one['name']}{'~' if one['regex'] else '='}{one['value']}" for one in match["headers"]]
    values += [f"?{one['name']}{'~' if one['regex'] else '='}{one['value']}" for one in match["queries"]]
    return " ".join(filter(None, (match["method"], path, *values))) or "all"


def _time(route: Json, name: str, milliseconds: int) -> str:
    return f"{_ms(milliseconds)}{'*' if name in route['inherited'] else ''}" if milliseconds else NONE


def _ms(milliseconds: int) -> str:
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def _retries(route: Json) -> str:
    retry = route["retry"]
    if not retry:
        return "of failures" if route["retryable"] else NONE
    codes = ",".join(map(str, (*retry["statuses"], *(f"grpc {code}" for code in retry["grpc_codes"])))) or "failures"
    return f"{retry['limit']}x {codes}{'*' if 'retry' in route['inherited'] else ''}"


def _goes_to(route: Json) -> str:
    if route["answer"]:
        return f"answer {route['answer']['status']}: {route['answer']['message']}"
    redirect = next((one for one in route["filters"] if "status" in one), None)
    if redirect:
        return f"redirect {redirect['status']}"
    return ", ".join(map(_backend, route["backends"])) or "the Service"


def _backend(backend: Json) -> str:
    where = f"{backend['name']}.{backend['namespace']}:{backend['port']} weight {backend['weight']}"
    return f"{where} (answer {backend['answer']['status']})" if backend["answer"] else where


def _shared(ports: list[Json]) -> Iterator[str]:
    """Budget and circuit breaker are those of the whole Service."""
    if budget := next((port["retry_budget"] for port in ports if port["retry_budget"]), None):
        share, least = budget["ratio_permille"] / 10, budget["min_retries_per_second"]
        yield f"retry budget: {share:g} % of requests in {_ms(budget['ttl_ms'])}, at least {least} a second"
    if breaker := ports[0]["breaker"]:
        rate = (
            f", successes below {breaker['min_success_permille'] / 10:g} %" if breaker["min_success_permille"] else ""
        )
        yield f"circuit breaker: {breaker['max_failures'] or 'no'} failures in a row{rate} (annotations)"
