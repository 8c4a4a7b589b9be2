"""What each service needs when nothing happens, as new pods of the cluster that runs tell it: KUBECONFIG in the
environment. It restarts the six: after load, the heap keeps more than it needs. Prints its part of
bench/results/scale.json.

    eval "$(make -s env)" && uv run python tests/scale/idle.py
"""

import json
import re
import subprocess
import time

SETTLED_SECONDS = 15
"""After readiness: certificates, first scrapes and the webhooks' own are then done."""

SERVICES = ("destination", "identity", "injector", "sp-validator", "tap", "web")


def kubectl(*arguments: str) -> str:
    """What kubectl prints."""
    return subprocess.run(["kubectl", *arguments], check=True, capture_output=True, text=True).stdout


def restarted() -> None:
    """Every service anew, and ready."""
    deployments = [f"deploy/{service}" for service in SERVICES]
    kubectl("-n", "weft", "rollout", "restart", *deployments)
    for deployment in deployments:
        kubectl("-n", "weft", "rollout", "status", deployment, "--timeout=120s")
    time.sleep(SETTLED_SECONDS)


def rss_mb(service: str) -> float:
    """Resident memory of the service's newest pod, without its sidecar."""
    selector = f"weft.dev/component={service}"
    pods = kubectl("-n", "weft", "get", "pods", "-l", selector, "-o", "name", "--sort-by=.metadata.creationTimestamp")
    name = pods.split()[-1].removeprefix("pod/")
    metrics = kubectl("get", "--raw", f"/api/v1/namespaces/weft/pods/{name}:9990/proxy/metrics")
    found = re.search(r"^process_resident_memory_bytes (\S+)", metrics, re.MULTILINE)
    if not found:
        raise RuntimeError(f"{name} does not tell its memory: is its admin port 9990 open?")
    return round(float(found[1]) / 2**20, 1)


if __name__ == "__main__":
    restarted()
    print(json.dumps({"idle_rss_mb": {service: rss_mb(service) for service in SERVICES}}, indent=1))
