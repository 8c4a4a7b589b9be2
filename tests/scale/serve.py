"""Destination, as in its pod, for any API server: serve.py URL PORT ADMIN-PORT [TOKEN-FILE CA-FILE]."""

import os
import sys
from pathlib import Path

from weft_destination.app import serve_cluster
from weft_destination.config import Config
from weft_kube.api import Cluster
from weft_runtime.run import run

url, port, admin, *credentials = sys.argv[1:]
token_file, ca_file = map(Path, credentials) if credentials else (None, None)
os.environ |= {
    "WEFT_LOG_LEVEL": "error",
    "WEFT_LISTEN": f"127.0.0.1:{port}",
    "WEFT_ADMIN_LISTEN": f"127.0.0.1:{admin}",
    "KUBERNETES_SERVICE_HOST": "unused",
}
cluster = Cluster(url, ca_file, token_file)
raise SystemExit(run("destination", Config, lambda config, stop: serve_cluster(cluster, config, stop)))
