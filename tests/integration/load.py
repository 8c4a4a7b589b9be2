"""Bounded runs of the demo's seeded load generator inside the cluster."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lab import IMAGE, eventually, get, kubectl


def job(name: str, rate: int, count: int, **env: str) -> dict[str, Any]:
    """A Job that is the crowd for `count` requests."""
    settings = {"RATE": str(rate), "COUNT": str(count), "SEED": "7", **env}
    container = {
        "name": "crowd",
        "image": IMAGE,
        "args": ["crowd"],
        "env": [{"name": key, "value": value} for key, value in settings.items()],
    }
    pod = {"serviceAccountName": "crowd", "restartPolicy": "Never", "containers": [container]}
    template = {"metadata": {"annotations": {"weft.dev/inject": "enabled"}}, "spec": pod}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "teahouse"},
        "spec": {"backoffLimit": 0, "template": template},
    }


@contextmanager
def running(name: str, rate: int, count: int, **env: str) -> Iterator[None]:
    """The Job, started; deleted at the end."""
    kubectl("apply", "-f", "-", stdin=json.dumps(job(name, rate, count, **env)))
    try:
        eventually(lambda: get("pods", "-n", "teahouse", "-l", f"job-name={name}")["items"])
        kubectl("-n", "teahouse", "wait", "pod", "-l", f"job-name={name}", "--for=condition=Ready", "--timeout=60s")
        yield
    finally:
        kubectl("-n", "teahouse", "delete", "job", name, "--cascade=foreground", "--wait=true")


def totals(name: str, seconds: int = 180) -> dict[str, Any]:
    """What the finished Job counted."""
    kubectl("-n", "teahouse", "wait", f"job/{name}", "--for=condition=Complete", f"--timeout={seconds}s")
    last = kubectl("-n", "teahouse", "logs", f"job/{name}", "-c", "crowd").strip().splitlines()[-1]
    found: dict[str, Any] = json.loads(last)
    return found


def by_status(found: dict[str, Any]) -> dict[str, int]:
    """Requests by status, over all paths."""
    statuses: dict[str, int] = {}
    for counts in found["by"].values():
        for status, count in counts.items():
            statuses[status] = statuses.get(status, 0) + count
    return statuses
