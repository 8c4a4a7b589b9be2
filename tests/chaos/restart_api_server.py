"""On a node, by a pod that sees its processes: etcd forgets all versions but the newest, then the API server is killed.

Whoever runs it, the kubelet or a script, starts it again. Where etcd is and what it asks for, the API server's own
command line says.
"""

import json
import os
import signal
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def servers() -> Iterator[tuple[Path, dict[str, str]]]:
    """API servers of this node: their folders in /proc, and their options."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, *words = (process / "cmdline").read_text().split("\0")
        except OSError:  # it has ended
            continue
        if Path(command).name == "kube-apiserver":
            yield process, dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)


def compact(process: Path, options: dict[str, str]) -> None:
    """Through etcd's JSON gateway, with the API server's credentials."""
    context = None
    if "etcd-cafile" in options:
        ca, certificate, key = (
            f"{process}/root{options[f'etcd-{name}']}" for name in ("cafile", "certfile", "keyfile")
        )
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(certificate, key)
    url = options["etcd-servers"].split(",")[0]

    def ask(path: str, **body: str) -> dict[str, dict[str, str]]:
        request = urllib.request.Request(f"{url}/v3/kv/{path}", json.dumps(body).encode())  # noqa: S310
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
            said: dict[str, dict[str, str]] = json.load(answer)
            return said

    newest = ask("range", key="AA==")["header"]["revision"]
    ask("compaction", revision=newest)
    print(f"compacted to {newest}", flush=True)


if __name__ == "__main__":
    for folder, found in list(servers()):
        compact(folder, found)
        os.kill(int(folder.name), signal.SIGKILL)
        print(f"killed {folder.name}", flush=True)
