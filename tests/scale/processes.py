"""The processes of a run: the load generator, and destinations, with what they use of the machine."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("WEFT_CACHE", Path.home() / ".cache/weft")) / "scale"

Json = dict[str, Any]


class Load:
    """tests/scale/load: plays Kubernetes and the proxies, and does as it is told."""

    def __init__(self) -> None:
        CACHE.mkdir(parents=True, exist_ok=True)
        program = CACHE / "load"
        subprocess.run(["go", "build", "-buildvcs=false", "-o", program, "."], cwd=HERE / "load", check=True)
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, do: str, **order: Any) -> Json:
        """Gives an order and waits for its answer."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps({"do": do, **order}), file=self._process.stdin, flush=True)
        answer: Json = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        print(do, {name: value for name, value in order.items() if name != "truth"}, answer, file=sys.stderr)
        return answer

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()


class Destination:
    """One destination in a process of its own, ready when made; `token_file` and `ca_file` for a real cluster."""

    def __init__(self, kube: str, *credentials: str, port: int = 0) -> None:
        self.port, self.admin = port or free_port(), free_port()
        self._arguments = [sys.executable, str(HERE / "serve.py"), kube, str(self.port), str(self.admin), *credentials]
        self.start()

    @property
    def address(self) -> str:
        """Where proxies connect."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, again if it was killed, and waits until it is ready."""
        self._process = subprocess.Popen(self._arguments)
        while self._get("ready") != "ready\n":
            if self._process.poll() is not None:
                raise RuntimeError(f"destination ended with {self._process.returncode}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: nobody is told."""
        self._process.kill()
        self._process.wait()

    def _get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return ""

    def debug(self, path: str) -> Any:
        """What it says about itself."""
        return json.loads(self._get(f"debug/{path}"))

    def rss_mb(self) -> float:
        """Resident memory now."""
        return rss_mb(self._process.pid)

    def cpu_s(self) -> float:
        """User and system time so far."""
        return cpu_s(self._process.pid)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def running(destinations: int, services: int, pods: int) -> Iterator[tuple[Load, list[Destination]]]:
    """A load generator with a cluster of this size, and destinations that have listed it."""
    load = Load()
    started: list[Destination] = []
    try:
        url = load("kubernetes", services=services, pods=pods)["url"]
        for _ in range(destinations):
            started.append(Destination(url))  # noqa: PERF401 (what was started is ended, also when the next fails)
        load("to", to=[each.address for each in started])
        yield load, started
    finally:
        load.close()
        for each in started:
            each.kill()
