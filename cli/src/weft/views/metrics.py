"""`viz stat`, `edges` and `routes` as tables."""

from collections.abc import Iterable, Sequence

from weft.client import EdgeRow, Latency, Ref, RouteRow, StatRow
from weft.views.table import NONE, bytes_rate, count, milliseconds, percent, rate, table

LATENCY = ("LATENCY_P50", "LATENCY_P95", "LATENCY_P99")
NOT_SECURED = {
    "no_identity": "peer not meshed",
    "loopback": "loopback",
    "passthrough": "application's own TLS",
    "disabled": "disabled",
}
SHOWN = 5


def stat_table(rows: Sequence[StatRow], prefix: bool, namespaces: bool, wide: bool) -> str:
    """Golden signals; `prefix` puts the kind before names."""
    pods = any(row["kind"] == "pod" for row in rows)
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
            row["src"]["name"] or NONE,
            _destination(row["dst"]),
            row["src"]["namespace"] or NONE,
            row["dst"]["namespace"] or NONE,
            *([row["client_id"] or NONE, row["server_id"] or NONE] if wide else []),
            "√" if row["tls"] == "true" else NOT_SECURED.get(row["tls"], row["tls"] or NONE),
        ]
        for row in rows
    ]
    return table(header, lines, left=len(header))


def routes_table(rows: Iterable[RouteRow]) -> str:
    """Requests by route, as the clients' proxies saw them."""
    header = ["ROUTE", "SERVICE", "SUCCESS", "RPS", *LATENCY]
    lines = [
        [
            row["route"] or "[default]",
            row["service"]["name"] or NONE,
            percent(row["success"]),
            rate(row["rps"]),
            *_latency_cells(row["latency_seconds"]),
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


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _destination(ref: Ref) -> str:
    return ref["name"] or "(outside the mesh)"


def _latency_cells(latency: Latency | None) -> list[str]:
    if latency is None:
        return [NONE, NONE, NONE]
    return [milliseconds(latency["p50"]), milliseconds(latency["p95"]), milliseconds(latency["p99"])]
