"""What destination says about a port of a Service, as tables. Pure."""

from typing import Any

from weft.views.table import NONE, table

Json = dict[str, Any]


def endpoints_table(answer: Json) -> str:
    """Where requests to it may go."""
    header = ["NAMESPACE", "IP", "PORT", "POD", "WORKLOAD", "ZONE", "IDENTITY"]
    rows = [
        [
            one["namespace"],
            one["ip"],
            str(one["port"]),
            one["pod"] or NONE,
            "/".join(filter(None, (one["workload_kind"], one["workload"]))) or NONE,
            one["zone"] or NONE,
            one["identity"] or NONE,
        ]
        for one in answer["state"]["endpoints"]
    ]
    return table(header, rows, left=len(header))


def watchers_table(answer: Json) -> str:
    """Which proxies have been told, and whether of the newest version."""
    rows = [
        [one["namespace"], one["pod"], one["held_version"] or NONE, state(one["held_version"], answer["version"])]
        for one in sorted(answer["watchers"], key=lambda one: (one["namespace"], one["pod"]))
    ]
    return table(["NAMESPACE", "PROXY", "VERSION", "STATE"], rows, left=4)


def state(held: str, newest: str) -> str:
    """In words."""
    return "current" if held == newest else "behind" if held else "not told yet"
