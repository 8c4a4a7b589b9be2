"""How the tests reach the cluster: only as a user does, through weft, kubectl, helm and HTTP."""

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
TEAHOUSE = ROOT / "demo" / "teahouse.yaml"
IMAGE = re.findall(r"image: (\S+/teahouse:\S+)", TEAHOUSE.read_text())[0]


class CommandError(AssertionError):
    """A command failed: what it said is in the message."""


def run(
    *command: str, stdin: str | None = None, check: bool = True, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; CommandError with its output when it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT)
    if check and done.returncode != 0:
        raise CommandError(f"{' '.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = 300) -> str:
    """kubectl's stdout."""
    return run("kubectl", *arguments, stdin=stdin, timeout=timeout).stdout


def weft(*arguments: str, stdin: str | None = None, timeout: float = 400) -> str:
    """weft's stdout."""
    return run("weft", *arguments, stdin=stdin, timeout=timeout).stdout


def get(*arguments: str) -> dict[str, Any]:
    """An object or list, by `kubectl get … -o json`."""
    found: dict[str, Any] = json.loads(kubectl("get", *arguments, "-o", "json"))
    return found


def eventually(probe: Callable[[], T], seconds: float = 60, every: float = 0.25) -> T:
    """What the probe returns once it neither raises AssertionError nor is falsy; its last word after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = probe()
            if value or time.monotonic() > deadline:
                assert value, f"still {value!r} after {seconds} s"
                return value
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(every)


def rolled_out(namespace: str, *names: str) -> None:
    """Waits until the deployments are as wanted."""
    for name in names:
        kubectl("-n", namespace, "rollout", "status", f"deploy/{name}", "--timeout=240s")


@contextmanager
def forward(namespace: str, target: str, port: int) -> Iterator[str]:
    """`kubectl port-forward` to a free local port; yields the base URL."""
    command = ["kubectl", "-n", namespace, "port-forward", target, f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert found, f"no port-forward: {line}"
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()


def http(url: str, method: str = "GET", body: object = None, timeout: float = 10) -> tuple[int, str]:
    """Status and text of a request; a refused connection fails the test."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {}, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        raise AssertionError(f"{url}: {error}") from error


def api(base: str, path: str) -> dict[str, Any]:
    """An answer of the public API."""
    status, text = http(f"{base}/api/v1/{path}")
    assert status == 200, text
    answer: dict[str, Any] = json.loads(text)
    return answer


def one_line_error(done: subprocess.CompletedProcess[str]) -> str:
    """The only line on stderr of a command that failed with exit code 1."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert (done.returncode, len(lines), done.stdout) == (1, 1, ""), f"{done.returncode}: {done.stderr}"
    return lines[0]


def proxy_metrics(namespace: str, pod: str) -> str:
    """A pod's proxy's /metrics, through the API server."""
    return kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}:4191/proxy/metrics")


def counted(metrics: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that carry these labels."""
    total = 0.0
    for line in metrics.splitlines():
        if line.startswith(f"{name}{{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
            total += float(line.rpartition(" ")[2])
    return total


def environment(**extra: str) -> dict[str, str]:
    """The environment with additions."""
    return os.environ | extra
