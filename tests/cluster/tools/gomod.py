#!/usr/bin/env python3
"""Write go.mod for another Kubernetes version: `tools/gomod.py v1.35.4`, then `go get` the tools and `go mod tidy`.

k8s.io/kubernetes points its staging modules (k8s.io/api, ...) at ./staging, which Go ignores in a dependency: each
is replaced with the published module of the matching version (Kubernetes v1.X.Y is k8s.io/* v0.X.Y). Its own pins
are kept: the versions that its release was built with.

    cd tests/cluster/tools && ./gomod.py v1.35.4 && go get github.com/coredns/coredns@v1.14.7 &&
    go get -tool helm.sh/helm/v4/cmd/helm@v4.1.4 go.etcd.io/etcd/server/v3@v3.6.16 && go mod tidy

CoreDNS and Helm are the newest that use the same k8s.io minor, so that each package is compiled once for all.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

MODULE = "weft.dev/tests/cluster/tools"


def upstream(version: str) -> str:
    """Fetch Kubernetes' own go.mod."""
    download = ["go", "mod", "download", "-json", f"k8s.io/kubernetes@{version}"]
    return Path(json.loads(subprocess.check_output(download, cwd="/"))["GoMod"]).read_text()


def derive(text: str, version: str) -> str:
    """Turn Kubernetes' go.mod into one that builds on it."""
    staging = version.replace("v1.", "v0.", 1)
    names = re.findall(r"^\s*(k8s\.io/\S+) => \./staging/", text, re.M)
    pins = [pin.strip() for pin in re.findall(r"^\s+\S+ v\S+(?: // indirect)?$", text, re.M) if " v0.0.0" not in pin]
    header = [f"module {MODULE}", "", *re.findall(r"^(?:go|godebug) \S+.*$", text, re.M), "", "require ("]
    required = [f"k8s.io/kubernetes {version}", *(f"{name} {staging}" for name in names), *pins]
    replaced = [f"{name} => {name} {staging}" for name in names]
    body = [*(f"\t{line}" for line in required), ")", "", "replace (", *(f"\t{line}" for line in replaced), ")", ""]
    return "\n".join(header + body)


if __name__ == "__main__":
    Path(__file__).with_name("go.mod").write_text(derive(upstream(sys.argv[1]), sys.argv[1]))
