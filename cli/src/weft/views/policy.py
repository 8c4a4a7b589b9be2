"""What becomes of requests to a Service's ports, as destination says it, as tables. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from weft.views.table import NONE, table

Json = dict[str, Any]
HEADER = ["PORT", "ROUTE", "REQUESTS", "TIMEOUT", "TRY", "RETRIES", "GO TO", "ALSO", "FROM"]
OF_SERVICE = "annotations of the Service"


def merged(answers: Mapping[str, list[Json]]) -> Json:
    """What the first replica says, which one that is, and those that say something else."""
    replica, first = next(iter(answers.items()))
    return {
        "ports": [port for answer in first for port in answer["ports"]],
        "faults": [fault for answer in first for fault in answer["faults"]],
        "replica": replica,
        "differ": [name for name, other in answers.items() if other != first],
    }


def disagreement(answer: Json) -> str:
    """Whose answer is shown, and who has another; empty when all say the same."""
    if not answer["differ"]:
        return ""
    return f"replicas of destination differ: this is what {answer['replica']} says, not {', '.join(answer['differ'])}"


def policy(ports: list[Json], faults: list[Json], client: str) -> str:
    """Each Service with its routes, what holds for all of them, and what its objects say in vain."""
    services = dict.fromkeys((port["service"]["namespace"], port["service"]["name"]) for port in ports)
    parts = []
    for namespace, name in services:
        own = [port for port in ports if (port["service"]["namespace"], port["service"]["name"]) == (namespace, name)]
        rows = [row for port in own for row in _rows(port)]
        head = f"svc/{name} in {namespace}, for clients of {client}"
        parts.append("\n".join([head, table(HEADER, rows, left=len(HEADER)), *_shared(own)]))
    lines = dict.fromkeys(f"{one['kind']} {one['namespace']}/{one['name']}: {one['message']}" for one in faults)
    return "\n\n".join([*parts, *(["\n".join(["does not hold:", *lines])] if lines else [])])


def _rows(port: Json) -> Iterator[list[str]]:
    number = str(port["service"]["port"])
    if port["protocol"] == "opaque":
        yield [number, NONE, "none is seen: opaque", NONE, NONE, NONE, "the Service", NONE, NONE]
        return
    for route in port["routes"]:
        yield [
            number,
            route["name"] or NONE,
            " or ".join(map(_match, route["matches"])) or "all others",
            _time(route, "timeout", route["timeout_ms"]),
            _time(route, "try-timeout", route["backend_timeout_ms"] or None),
            _retries(route),
            _goes_to(route),
            ", ".join(_also(route)) or NONE,
            route["origin"],
        ]
    if port["no_match_not_found"]:
        yield [number, NONE, "all others", NONE, NONE, NONE, "answer 404", NONE, NONE]
    elif not any(not route["matches"] for route in port["routes"]):
        yield [number, NONE, "all others", NONE, NONE, NONE, "the Service", NONE, NONE]


def _match(match: Json) -> str:
    path = {"exact": "= ", "prefix": "", "regex": "~ ", "any": ""}[match["path"]] + match["value"]
    path += "/…" if match["path"] == "prefix" else ""
    values = [f"{one['name']}{'~' if one['regex'] else '='}{one['value']}" for one in match["headers"]]
    values += [f"?{one['name']}{'~' if one['regex'] else '='}{one['value']}" for one in match["queries"]]
    return " ".join(filter(None, (match["method"], path, *values))) or "all"


def _time(route: Json, name: str, milliseconds: int | None) -> str:
    """0 is said to be none, whatever the client's own settings say."""
    if milliseconds is None:
        return NONE
    return f"{_ms(milliseconds) if milliseconds else 'never'}{_mark(route, name)}"


def _mark(route: Json, name: str) -> str:
    """Whose annotations say so, when any do."""
    whose = dict(route["inherited"]).get(name)
    return "" if whose is None else "*" if whose == OF_SERVICE else "**"


def _ms(milliseconds: int) -> str:
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def _retries(route: Json) -> str:
    retry = route["retry"]
    if not retry:
        return f"of failures{_mark(route, 'retry')}" if route["retryable"] else NONE
    if not retry["limit"]:
        return "never"
    if not route["retryable"]:
        return NONE
    codes = ",".join(map(str, (*retry["statuses"], *(f"grpc {code}" for code in retry["grpc_codes"])))) or "failures"
    after = f" after {_ms(retry['backoff_ms'])}" if retry["backoff_ms"] else ""
    return f"{retry['limit']}x {codes}{after}{_mark(route, 'retry')}"


def _goes_to(route: Json) -> str:
    if route["answer"]:
        return f"answer {route['answer']['status']}: {route['answer']['message']}"
    redirect = next((one for one in route["filters"] if "status" in one), None)
    if redirect:
        return " ".join(filter(None, (f"redirect {redirect['status']}", _elsewhere(redirect))))
    return ", ".join(map(_backend, route["backends"])) or "the Service"


def _elsewhere(redirect: Json) -> str:
    """What a redirect changes of where the request went."""
    scheme = f"{redirect['scheme']}://" if redirect["scheme"] else ""
    port = f":{redirect['port']}" if redirect["port"] else ""
    return f"{scheme}{redirect['hostname'] or ('…' if scheme or port else '')}{port}{_path(redirect['path'])}"


def _path(change: Json | None) -> str:
    return f"{change['value']}{'/…' if change['prefix'] else ''}" if change else ""


def _backend(backend: Json) -> str:
    where = f"{backend['name']}.{backend['namespace']}:{backend['port']} weight {backend['weight']}"
    return f"{where} (answer {backend['answer']['status']})" if backend["answer"] else where


def _also(route: Json) -> Iterator[str]:
    """What filters change, and what counts as a failure."""
    yield from _changes(route["filters"])
    for backend in route["backends"]:
        yield from (f"{change} at {backend['name']}.{backend['namespace']}" for change in _changes(backend["filters"]))
    for one in route["response_classes"]:
        low, high = one["min_status"], one["max_status"]
        yield f"{low if low == high else f'{low}-{high}'} {'fails' if one['failure'] else 'succeeds'}"


def _changes(filters: list[Json]) -> Iterator[str]:
    for one in filters:
        if "remove" in one:
            names = [name for name, _ in (*one["set"], *one["add"])] + [f"-{name}" for name in one["remove"]]
            yield f"{'response' if one['response'] else 'request'} headers {' '.join(names)}"
        elif "status" not in one:
            yield from (f"host {one['hostname']}",) if one["hostname"] else ()
            yield from (f"path {_path(one['path'])}",) if one["path"] else ()


def _shared(ports: list[Json]) -> Iterator[str]:
    """Budget and circuit breaker are those of the whole Service."""
    if budget := next((port["retry_budget"] for port in ports if port["retry_budget"]), None):
        share, least, whose = budget["ratio_permille"] / 10, budget["min_retries_per_second"], budget["origin"]
        yield f"retry budget: {share:g} % of requests in {_ms(budget['ttl_ms'])}, at least {least} a second ({whose})"
    if breaker := ports[0]["breaker"]:
        yield f"circuit breaker: {'; '.join(_breaker(breaker))} ({OF_SERVICE})"
    for mark, whose in (("*", "Service"), ("**", "route")):
        if any(
            mark == _mark(route, name) for port in ports for route in port["routes"] for name, _ in route["inherited"]
        ):
            yield f"{mark} by annotations of the {whose}"


def _breaker(breaker: Json) -> Iterator[str]:
    """What is said; for the rest the proxy has its own numbers."""
    yield f"{breaker['max_failures'] or 'no number of'} failures in a row"
    if share := breaker["min_success_permille"]:
        least = f" of at least {breaker['min_requests']}" if breaker["min_requests"] else ""
        within = f" in {_ms(breaker['window_ms'])}" if breaker["window_ms"] else ""
        yield f"successes below {share / 10:g} %{least}{within}"
    for word, name in (("at first", "min_penalty_ms"), ("at most", "max_penalty_ms")):
        if breaker[name]:
            yield f"left out for {_ms(breaker[name])} {word}"
