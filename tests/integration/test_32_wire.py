"""Between meshed pods nothing is readable."""

import json

from lab import IMAGE, get, http, kubectl

SNIFFER = """
import socket, sys, time
marks = [b"teahouse.v1", b"/api/", b"DECRBY", b"Welcome to the teahouse", b"HTTP/1.1", b"guest"]
addresses = {socket.inet_aton(a) for a in sys.argv[1].split(",")}
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
s.settimeout(1)
packets = readable = 0
print("listening", flush=True)
end = time.monotonic() + 12
while time.monotonic() < end:
    try:
        frame, where = s.recvfrom(65535)
    except TimeoutError:
        continue
    if where[0] == "lo" or len(frame) < 34:
        continue
    if frame[26:30] in addresses and frame[30:34] in addresses:
        packets += 1
        readable += any(mark in frame for mark in marks)
print(packets, readable)
"""


def test_a_capture_between_meshed_pods_shows_no_plain_text(counter: str) -> None:
    """On the node's own interfaces, everything that passes between pods of the demo is ciphertext."""
    pods = get("pods", "-n", "teahouse", "--field-selector=status.phase=Running")["items"]
    addresses = ",".join(pod["status"]["podIP"] for pod in pods)
    node = next(pod for pod in pods if pod["metadata"]["labels"]["app"] == "menu")["spec"]["nodeName"]
    container = {
        "name": "sniffer",
        "image": IMAGE,
        "command": ["python3", "-c", SNIFFER, addresses],
        "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_RAW"]}},
    }
    spec = {"hostNetwork": True, "nodeName": node, "restartPolicy": "Never", "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sniffer", "namespace": "kube-system"}, "spec": spec}
    kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    try:
        kubectl("-n", "kube-system", "wait", "pod/sniffer", "--for=condition=Ready", "--timeout=60s")
        for tea in ("sencha", "chai", "oolong", "matcha") * 3:
            http(f"{counter}/api/orders?tea={tea}&guest=guest1", "POST")
            http(f"{counter}/api/greeting?guest=guest1")
        kubectl("-n", "kube-system", "wait", "pod/sniffer", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
        packets, readable = map(int, kubectl("-n", "kube-system", "logs", "sniffer").splitlines()[-1].split())

        assert packets > 50
        assert readable == 0
    finally:
        kubectl("-n", "kube-system", "delete", "pod", "sniffer", "--grace-period=0", "--force")
