"""A server and clients whose calls the tests judge: one Python process in each pod, asked over `kubectl exec`."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from lab import IMAGE, ROOT
from weft_pki.issue import new_anchor, new_issuer, workload_leaf
from weft_pki.keys import key_pem, new_key

Json = dict[str, Any]

SERVER = """
import grpc, http.server, os, socketserver, ssl, threading
class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    do_GET = do_POST = do_PUT = answer
    def log_message(self, *_): pass
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(100))
class Threaded(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
class Menu(grpc.GenericRpcHandler):
    def service(self, call):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)
from concurrent.futures import ThreadPoolExecutor
menu = grpc.server(ThreadPoolExecutor(4), [Menu()]); menu.add_insecure_port("0.0.0.0:9090"); menu.start()
threading.Thread(target=Threaded(("", 9000), Echo).serve_forever, daemon=True).start()
with open("/tmp/pem", "w") as pem: pem.write(os.environ["PEM"])
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); tls.load_cert_chain("/tmp/pem")
secure, other = (http.server.ThreadingHTTPServer(("", port), Web) for port in (8443, 8081))
secure.socket = tls.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
for one in (secure, other): threading.Thread(target=one.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("", 8080), Web).serve_forever()
"""

AGENT = """
import json, socket, ssl, sys, threading, time
def exchange(host, port, data, seconds=5):
    try:
        with socket.create_connection((host, port), seconds) as s:
            s.sendall(data)
            parts = []
            while part := s.recv(65536):
                parts.append(part)
                if len(b"".join(parts)) > 100000: break
            return b"".join(parts)
    except OSError:
        return b""
def web(call):
    head = f"{call['method']} {call['path']} HTTP/1.1\\r\\nHost: menu\\r\\nConnection: close\\r\\n\\r\\n"
    answer = exchange(call["host"], call["port"], head.encode()).decode(errors="replace")
    lines = answer.split("\\r\\n\\r\\n")[0].splitlines() or ["HTTP/1.1 0"]
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines[1:]}
    return {"status": int(lines[0].split()[1]), "error": headers.get("weft-error", ""), "text": answer[-200:],
            "retry": headers.get("retry-after", "")}
def tcp(call):
    return {"status": 200 if exchange(call["host"], call["port"], b"\\x01hello\\n") else 0}
def tls(call):
    try:
        with socket.create_connection((call["host"], call["port"]), 5) as s:
            ssl._create_unverified_context().wrap_socket(s).close()
            return {"status": 200}
    except OSError:
        return {"status": 0}
def menu(call):
    import grpc
    with grpc.insecure_channel(f"{call['host']}:{call['port']}") as channel:
        try:
            channel.unary_unary(call["path"])(b"tea", timeout=5)
            return {"status": 0, "code": "OK"}
        except grpc.RpcError as error:
            return {"status": 0, "code": error.code().name}
def many(call):
    answers = [web(call) for _ in range(call["times"])]
    return {"statuses": [one["status"] for one in answers], "retries": [one["retry"] for one in answers]}
load = {"on": False, "done": 0, "bad": []}
def loop(call):
    while load["on"]:
        status = web(call)["status"]
        load["done"] += 1
        if status != 200: load["bad"].append(status)
        time.sleep(0.01)
def start(call):
    load.update(on=True, done=0, bad=[]); threading.Thread(target=loop, args=(call,), daemon=True).start(); return {}
def stop(call):
    load["on"] = False; return {"done": load["done"], "bad": load["bad"]}
def metrics(call):
    text = exchange(call["host"], 4191, b"GET /metrics HTTP/1.0\\r\\n\\r\\n").decode()
    return {"lines": [line for line in text.splitlines() if line.startswith("weft_policy_denied_total{")]}
KINDS = {one.__name__: one for one in (web, tcp, tls, menu, many, start, stop, metrics)}
for line in sys.stdin:
    call = json.loads(line)
    print(json.dumps(KINDS[call["kind"]](call)), flush=True)
"""


def server(namespace: str) -> Json:
    """Pod menu: HTTP at 8080 (`http`), raw bytes at 9000 (`raw`), gRPC at 9090, HTTPS at 8443; HTTP at 8081, which it
    does not declare. It is up when a probe by HTTPS says so, and ready while one by HTTP does."""
    numbers = {"http": 8080, "raw": 9000, "grpc": 9090, "tls": 8443}
    container = {
        "name": "menu",
        "image": IMAGE,
        "command": ["python3", "-c", SERVER],
        "ports": [{"containerPort": number, "name": name} for name, number in numbers.items()],
        "env": [{"name": "PEM", "value": _pem()}],
        "startupProbe": _probe("tls", scheme="HTTPS") | {"failureThreshold": 120},
        "readinessProbe": _probe("http"),
    }
    return _pod(namespace, "menu", container, {"config.weft.dev/opaque-ports": "9000"})


def _probe(port: str, **more: str) -> Json:
    return {"httpGet": {"path": "/healthz", "port": port, **more}, "periodSeconds": 1}


def _pem() -> str:
    """Key and certificate of an authority that nobody knows."""
    now = datetime.now(UTC)
    issuer, key = new_issuer(new_anchor(now), now), new_key()
    leaf = workload_leaf(issuer, key.public_key(), "spiffe://cluster.local/ns/x/sa/x", now, timedelta(days=1))
    return key_pem(key).decode() + leaf.public_bytes(Encoding.PEM).decode()


def client(namespace: str, name: str, *, meshed: bool = True) -> Json:
    """A pod that waits to be asked."""
    container = {"name": "client", "image": IMAGE, "command": ["sleep", "3600"]}
    return _pod(namespace, name, container, {} if meshed else {"weft.dev/inject": "disabled"})


def _pod(namespace: str, name: str, container: Json, annotations: dict[str, str]) -> Json:
    meta = {"name": name, "namespace": namespace, "labels": {"app": name}, "annotations": annotations}
    spec = {"serviceAccountName": name, "containers": [container], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


@dataclass
class Agent:
    """A client that makes calls."""

    process: "subprocess.Popen[str]"

    def ask(self, kind: str, **call: Any) -> Json:
        """One call, and what came back."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"kind": kind, **call}) + "\n")
        self.process.stdin.flush()
        answer: Json = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def agent(namespace: str, pod: str) -> Iterator[Agent]:
    """A client's process."""
    command = ["kubectl", "-n", namespace, "exec", "-i", pod, "-c", "client", "--", "python3", "-u", "-c", AGENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Agent(process)
        finally:
            process.terminate()


@dataclass(frozen=True)
class Api:
    """The API server through `kubectl proxy`: milliseconds for each request."""

    base: str

    def call(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Json:
        """A request; AssertionError with the server's words when it is refused."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": kind}, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
                answer: Json = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error


@contextmanager
def api_server() -> Iterator[Api]:
    """A connection to the API server."""
    with subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        try:
            yield Api(f"http://{process.stdout.readline().split()[-1]}")
        finally:
            process.terminate()
