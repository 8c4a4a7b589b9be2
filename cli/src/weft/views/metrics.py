"""`viz stat`, `edges` and `routes` as tables."""

from collections.abc import Iterable, Sequence
from typing import Literal

from weft.client import EdgeRow, InboundRow, Latency, OutboundRow, Ref, RouteRow, StatRow
from weft.views.table import NONE, bytes_rate, count, milliseconds, percent, rate, table

LATENCY = ("LATENCY_P50", "LATENCY_P95", "LATENCY_P99")
NOT_SECURED = {
    "no_identity": "peer not meshed",
    "loopback": "loopback",
    "passthrough": "application's own TLS",
}
SHOWN = 5
QUANTILES: tuple[Literal["p50", "p95", "p99"], ...] = ("p50", "p95", "p99")
UNITS = {"s": 1, "m": 60, "h": 3600}
DEFAULT_ROUTE = "[default]"
OUTSIDE = "(outside the mesh)"


def stat_table(rows: Sequence[StatRow], prefix: bool, namespaces: bool, wide: bool) -> str:
    """Golden signals; `prefix` puts the kind before names."""
    pods = any(row["kind"] == "pod" for row in rows)
    namespaces = namespaces and any(row["kind"] != "namespace" for row in rows)
    header = ["NAME", "MESHED", "SUCCESS", "RPS", *LATENCY, "TCP_CONN"]
    header[:0] = ["NAMESPACE"] if namespaces else []
    header[header.index("MESHED") : header.index("MESHED")] = ["STATUS"] if pods else []
    header += ["READ_BYTES/SEC", "WRITE_BYTES/SEC"] if wide else []
    left = header.index("MESHED")
    return table(header, [_stat_cells(row, prefix, namespaces, pods, wide) for row in rows], left)


def _stat_cells(row: StatRow, prefix: bool, namespaces: bool, pods: bool, wide: bool) -> list[str]:
    meshed = row["meshed"]
    traffic = [row["tcp_read_bytes_per_second"], row["tcp_written_bytes_per_second"]]
    return [
        *([row["namespace"]] if namespaces else []),
        f"{row['kind']}/{row['name']}" if prefix else row["name"],
        *([row["status"] or NONE] if pods else []),
        f"{meshed['pods']}/{meshed['running']}" if meshed else NONE,
        percent(row["success"]),
        rate(row["rps"]),
        *_latency_cells(row["latency_seconds"]),
        count(row["tcp_open_connections"]),
        *(map(bytes_rate, traffic) if wide else []),
    ]


def edges_table(rows: Iterable[EdgeRow], wide: bool) -> str:
    """Who talks with whom, and whether it is encrypted."""
    header = ["SRC", "DST", "SRC_NS", "DST_NS", *(["CLIENT_ID", "SERVER_ID"] if wide else []), "SECURED"]
    lines = [
        [
            _end(row["src"]),
            _end(row["dst"]),
            row["src"]["namespace"] or NONE,
            row["dst"]["namespace"] or NONE,
            *([row["client_id"] or NONE, row["server_id"] or NONE] if wide else []),
            _secured(row["tls"], row.get("reason", "") if wide else ""),
        ]
        for row in rows
    ]
    return table(header, lines, left=len(header))


def routes_table(rows: Iterable[RouteRow], near: str) -> str:
    """Requests by route, as the clients' proxies saw them; `near` is the namespace that needs no name."""
    header = ["ROUTE", "SERVICE", "SUCCESS", "RPS", *LATENCY]
    lines = [
        [
            row["route"] or DEFAULT_ROUTE,
            _name(row["service"], near) or NONE,
            *_signal_cells(row),
        ]
        for row in rows
    ]
    return table(header, lines, left=2)


def notes(rows: Iterable[StatRow]) -> list[str]:
    """Why rows have no numbers, each reason once with the names it concerns."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row["note"]:
            reasons.setdefault(row["note"], []).append(f"{row['kind']}/{row['name']}")
    return [f"{_some(names)}: {reason}" for reason, names in reasons.items()]


def shorter(seconds: float, asked: str) -> str:
    """What to tell when numbers are over less time than was asked for ("5m"); empty when they are not."""
    wanted = int(asked[:-1]) * UNITS[asked[-1]]
    return f"Prometheus has seen only {seconds:g} s of the {asked}: numbers are over these" if seconds < wanted else ""


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def inbound_table(rows: Sequence[InboundRow], namespaces: bool) -> str:
    """Requests received, by route and client; of RPS, how many a policy or rate limit refused."""
    header = ["NAME", "ROUTE", "CLIENT", "SECURED", "SUCCESS", "RPS", *LATENCY, "DENIED"]
    lines = [
        [
            row["dst"]["name"],
            row["route"] or DEFAULT_ROUTE,
            account(row["client_id"]) or OUTSIDE,
            _secured(row["tls"], ""),
            *_signal_cells(row),
            rate(row["denied_rps"]),
        ]
        for row in rows
    ]
    return _spaced(header, lines, [row["dst"]["namespace"] for row in rows], 4, namespaces)


def outbound_table(rows: Sequence[OutboundRow], namespaces: bool) -> str:
    """Requests sent, by Service, route and backend; retries stand at the first backend of their route."""
    header = ["NAME", "SERVICE", "ROUTE", "BACKEND", "SUCCESS", "RPS", *LATENCY, "RETRIES", "TIMEOUTS"]
    lines, routes = [], set()
    for row in rows:
        route = (tuple(row["src"].values()), tuple(row["service"].values()), row["route"])
        line = [
            row["src"]["name"],
            _name(row["service"], row["src"]["namespace"]) or NONE,
            row["route"] or DEFAULT_ROUTE,
            _name(row["backend"], row["src"]["namespace"]) or OUTSIDE,
            *_signal_cells(row),
            NONE if route in routes else rate(row["retries_per_second"]),
            rate(row["timeouts_per_second"]),
        ]
        routes.add(route)
        lines.append(line)
    return _spaced(header, lines, [row["src"]["namespace"] for row in rows], 4, namespaces)


def _spaced(header: list[str], lines: list[list[str]], spaces: list[str], left: int, namespaces: bool) -> str:
    """A table, with each line's namespace in front if that is wanted."""
    if not namespaces:
        return table(header, lines, left)
    spaced = [[space, *line] for space, line in zip(spaces, lines, strict=True)]
    return table(["NAMESPACE", *header], spaced, left + 1)


def account(identity: str) -> str:
    """`crowd.teahouse` of spiffe://cluster.local/ns/teahouse/sa/crowd; what is no such ID stays as it is."""
    _, found, tail = identity.partition("/ns/")
    namespace, _, name = tail.partition("/sa/")
    return f"{name}.{namespace}" if found and name else identity


def _secured(tls: str, reason: str) -> str:
    return "√" if tls == "true" else reason or NOT_SECURED.get(tls, tls or NONE)


def _end(ref: Ref) -> str:
    return ref["name"] or OUTSIDE


def _name(ref: Ref, near: str) -> str:
    """With its namespace where that is another; empty for what has none."""
    elsewhere = ref["name"] and ref["namespace"] != near
    return f"{ref['name']}.{ref['namespace']}" if elsewhere else ref["name"]


def _signal_cells(row: RouteRow | InboundRow | OutboundRow) -> list[str]:
    return [percent(row["success"]), rate(row["rps"]), *_latency_cells(row["latency_seconds"])]


def _latency_cells(latency: Latency | None) -> list[str]:
    if latency is None:
        return [NONE, NONE, NONE]
    at_least = latency.get("at_least", [])
    return [_at_least(milliseconds(latency[name]), name in at_least) for name in QUANTILES]


def _at_least(text: str, so: bool) -> str:
    return f">{text}" if so else text
