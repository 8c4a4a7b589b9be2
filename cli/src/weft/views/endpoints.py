"""What destination says about a port of a Service, and what proxies hold of it, as tables. Pure."""

from collections.abc import Mapping
from typing import Any

from weft.views.table import NONE, table

Json = dict[str, Any]

UNKNOWN = "?"
"""What a proxy holds that cannot be asked."""


def merged(answers: Mapping[str, Json]) -> Json:
    """The answers of all replicas as one: the state of the first, everybody's version, the watchers of all, each with
    the version that its replica has."""
    watchers = [
        watcher | {"replica": replica, "version": answer["version"]}
        for replica, answer in answers.items()
        for watcher in answer["watchers"]
    ]
    versions = {replica: answer["version"] for replica, answer in answers.items()}
    return next(iter(answers.values())) | {"watchers": watchers, "replicas": versions}


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
    """Which version each proxy has been told, by which replica, and which it says that it holds."""
    rows = [
        [
            one["namespace"],
            one["pod"],
            one["replica"],
            one["held_version"] or NONE,
            UNKNOWN if one["proxy_holds"] is None else one["proxy_holds"] or NONE,
            state(one),
        ]
        for one in sorted(answer["watchers"], key=lambda one: (one["namespace"], one["pod"], one["replica"]))
    ]
    return table(["NAMESPACE", "PROXY", "REPLICA", "TOLD", "HOLDS", "STATE"], rows, left=6)


def state(watcher: Json) -> str:
    """In words: by what the proxy says, else by what it was told."""
    told, says = watcher["held_version"], watcher.get("proxy_holds")
    held = told if says is None else says
    return "current" if held == watcher["version"] else "behind" if held else "not told yet"


def disagreement(answer: Json) -> str:
    """Which replicas say something else than others; empty when all say the same."""
    versions = answer["replicas"]
    if len(set(versions.values())) == 1:
        return ""
    return "replicas of destination differ: " + ", ".join(f"{name} has {each}" for name, each in versions.items())


def version_in(held: str, namespace: str, name: str, port: int) -> str:
    """The version of a port of a Service among the lines of a proxy's `/held`; empty when it holds none."""
    found = (line.split(" ", 1) for line in held.splitlines() if line.endswith(f" svc/{name}.{namespace}:{port}"))
    return next((version for version, _ in found if version != NONE), "")
