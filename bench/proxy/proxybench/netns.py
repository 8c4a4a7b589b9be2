"""Two network namespaces as two pods, what redirects their traffic, and processes started and read inside them.

    wbc (10.77.0.1)             load generator --REDIRECT--> outbound proxy 127.0.0.1:4140
    wbs (10.77.0.2, 10.77.0.3)  --REDIRECT--> inbound proxy :4143 --> backends

The Service is 10.77.1.1 with both addresses of wbs as endpoints: port 8080 HTTP/1.1, 8081 h2c, 9000 opaque. Proxies run
as uid 2102, which the rules pass by. Ports 18080, 18081, 19000 reach the same backends past both proxies.
"""

import ctypes
import ipaddress
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RUN = Path(tempfile.gettempdir()) / "weft-bench-proxy"
"""What a run makes: keys, configurations, logs. The proxies, which are another user, can read it."""
CLIENT, SERVER = "wbc", "wbs"
SERVICE = "10.77.1.1"
ENDPOINTS = ("10.77.0.2", "10.77.0.3")
HTTP1, HTTP2, OPAQUE = 8080, 8081, 9000
DIRECT = {HTTP1: 18080, HTTP2: 18081, OPAQUE: 19000}
IDENTITY, DESTINATION = 15080, 15086
PROXY_UID = 2102
CROWD = "10.80.0.0/16"
"""Addresses of Services of many endpoints: to the client's proxy each is one, and all lead to the same pod."""
CROWDED = 7000
"""Port 7001, 7002, … of the Service: 10, 100, … endpoints, of the first addresses of CROWD."""
RULED = 7100
"""Port 7101, 7102, … of the Service: HTTP/1.1 behind 10, 100, … rules of who may call."""
WOVEN = 7200
"""Port 7201, 7202, … of the Service: the same, half of the rules about the caller and the others about the path."""
DIGITS = range(1, 5)
"""What is added to these ports."""
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

_SYSCTLS = {
    "net.ipv4.ip_local_port_range": "20000 65000",
    "net.ipv4.ip_local_reserved_ports": "",
    "net.ipv4.tcp_tw_reuse": "1",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait": "1",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait": "2",
    "net.core.somaxconn": "8192",
    "net.ipv4.tcp_max_syn_backlog": "8192",
    "net.ipv4.tcp_congestion_control": "cubic",
}


def up() -> None:
    """Makes the namespaces, the link between them and the redirections; lifts this process's limit of descriptors."""
    down()
    _allow_cubic()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for namespace in (CLIENT, SERVER):
        _sh(f"ip netns add {namespace} && ip -n {namespace} link set lo up")
        for key, value in _SYSCTLS.items():
            _sh(f"ip netns exec {namespace} sysctl -qw {key}='{value}'", check=False)
    _sh(f"ip -n {CLIENT} link add veth0 type veth peer name veth1 netns {SERVER}")
    _sh(f"ip -n {CLIENT} addr add 10.77.0.1/24 dev veth0 && ip -n {CLIENT} link set veth0 up")
    for address in ENDPOINTS:
        _sh(f"ip -n {SERVER} addr add {address}/24 dev veth1")
    _sh(f"ip -n {SERVER} link set veth1 up")
    _sh(f"ip -n {CLIENT} route add default via {ENDPOINTS[0]} && ip -n {SERVER} route add default via 10.77.0.1")
    past = ",".join(map(str, (*DIRECT.values(), IDENTITY, DESTINATION)))
    out = f"ip netns exec {CLIENT} iptables -w -t nat -A OUTPUT -p tcp"
    _sh(f"{out} -d {CROWD} -m owner --uid-owner {PROXY_UID} -j DNAT --to-destination {ENDPOINTS[0]}")
    _sh(f"{out} -m owner --uid-owner {PROXY_UID} -j RETURN && {out} -o lo -j RETURN")
    _sh(f"{out} -m multiport --dports {past} -j RETURN && {out} -j REDIRECT --to-ports 4140")
    into = f"ip netns exec {SERVER} iptables -w -t nat -A PREROUTING -p tcp"
    _sh(f"{into} -m multiport --dports {past} -j RETURN && {into} -j REDIRECT --to-ports 4143")
    with suppress(OSError):
        Path("/proc/sys/net/netfilter/nf_conntrack_max").write_text("1048576")


def _allow_cubic() -> None:
    """Where another congestion control is the default, a namespace may choose cubic only if the machine allows it."""
    allowed = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
    if "cubic" not in allowed.read_text().split():
        allowed.write_text(f"{allowed.read_text().strip()} cubic")


def other_service(number: int) -> str:
    """The address of one more Service with the same two endpoints."""
    return str(ipaddress.ip_address("10.81.0.1") + number)


def down() -> None:
    """Removes the namespaces."""
    for namespace in (CLIENT, SERVER):
        _sh(f"ip netns del {namespace}", check=False)


def _sh(command: str, *, check: bool = True) -> None:
    done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True)  # noqa: S602 (constants)
    if check and done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip()} (root is needed)")


def _enter(namespace: str) -> None:
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """For sockets of this process: made inside, used anywhere."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    _enter(namespace)
    try:
        yield
    finally:
        _libc.setns(home, _CLONE_NEWNET)
        os.close(home)


Process = subprocess.Popen[str]


def said(process: Process) -> str:
    """The next line that a program prints."""
    return process.stdout.readline() if process.stdout else ""


def spawn(
    namespace: str, argv: Sequence[str], env: Mapping[str, str] | None = None, *, uid: int = 0, log: str = "load"
) -> Process:
    """Starts a program inside a namespace; what it says of errors goes to RUN/<log>.log, its output to a pipe."""
    # All of these replace themselves by what follows: the process is the program.
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
    with (RUN / f"{log}.log").open("ab") as errors:
        return subprocess.Popen(
            ["ip", "netns", "exec", namespace, *user, *argv],
            env={"PATH": os.environ["PATH"], **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def program(path: Path) -> str:
    """A copy of a program that the proxies' user can run, wherever the checkout is."""
    copy = RUN / path.name
    if not copy.exists() or copy.stat().st_mtime != path.stat().st_mtime:
        copy.unlink(missing_ok=True)
        shutil.copy2(path, copy)
    return str(copy)


def stop(process: Process) -> None:
    """Ends a process, by force if it does not go."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU time of a whole process, ended threads too."""
    # The kernel's encoding of another process's CPU clock: see clock_getcpuclockid(3).
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def rss_mb(pid: int) -> float:
    """Resident memory in MB (10^6 bytes)."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024 / 1e6


def machine_busy_seconds() -> float:
    """CPU seconds that the whole machine has worked since boot."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def get(namespace: str, host: str, port: int, path: str) -> int:
    """Status of an HTTP/1.1 request from inside a namespace; 0 without an answer."""
    try:
        return int(fetch(namespace, host, port, path).split(maxsplit=2)[1])
    except (OSError, IndexError, ValueError):
        return 0


def fetch(namespace: str, host: str, port: int, path: str) -> str:
    """The whole answer to a GET by HTTP/1.1 from inside a namespace."""
    with inside(namespace):
        connection = socket.socket()
    with connection, connection.makefile("rb") as answer:
        connection.settimeout(1)
        connection.connect((host, port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: web.shop\r\nconnection: close\r\n\r\n".encode())
        return answer.read().decode()


def wait_for(namespace: str, host: str, port: int, path: str, seconds: float = 30) -> None:
    """Waits until a GET is answered with 200."""
    end = time.monotonic() + seconds
    while get(namespace, host, port, path) != 200:
        if time.monotonic() > end:
            raise TimeoutError(f"{host}:{port}{path} in {namespace} does not answer 200: see {RUN}/*.log")
        time.sleep(0.005)
