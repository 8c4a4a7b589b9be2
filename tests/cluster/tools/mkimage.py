#!/usr/bin/env python3
"""Write a container image archive from files, without Docker: what containerd, Docker and kind all import.

It exists for the images that a cluster needs before anything can build images (pause, CoreDNS, kube-*). Files
belong to root and carry no time, so the same input gives the same image.

usage: mkimage.py OUT.tar NAME:TAG [--base ROOTFS.tar] [--add SRC:DST]... [--link TARGET:DST]... [--entrypoint WORDS]
"""

import argparse
import hashlib
import io
import json
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

SEARCH_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    parser.add_argument("--base", type=Path)
    parser.add_argument("--add", action="append", default=[])
    parser.add_argument("--link", action="append", default=[])
    parser.add_argument("--entrypoint", type=shlex.split, default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--stop-signal")
    return parser.parse_args()


def entry(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, target: str = "") -> tarfile.TarInfo:
    """Make a member that depends on nothing but its arguments."""
    info = tarfile.TarInfo(name.lstrip("/"))
    info.type, info.mode, info.size, info.linkname = kind, 0o755, size, target
    return info


def members(files: list[str], links: list[str]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """List what the top layer holds: folders before what is in them."""
    wanted = [(dst, Path(src).read_bytes(), "") for src, dst in (spec.split(":") for spec in files)]
    wanted += [(dst, b"", target) for target, dst in (spec.split(":") for spec in links)]
    folders = {str(parent) for dst, _, _ in wanted for parent in PurePosixPath(dst).parents if str(parent) != "/"}
    yield from ((entry(folder, tarfile.DIRTYPE), b"") for folder in sorted(folders))
    for dst, data, target in wanted:
        yield entry(dst, tarfile.SYMTYPE if target else tarfile.REGTYPE, len(data), target), data


def layer(files: list[str], links: list[str]) -> bytes:
    """Pack the top layer."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members(files, links):
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def settings(args: argparse.Namespace, digests: list[str]) -> bytes:
    """Make the image's configuration document."""
    config = {"Env": [SEARCH_PATH, *args.env], "Entrypoint": args.entrypoint, "StopSignal": args.stop_signal}
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {key: value for key, value in config.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created": "1970-01-01T00:00:00Z"} for _ in digests],
    }
    return json.dumps(document).encode()


def main() -> None:
    """Write the archive."""
    args = arguments()
    layers = [args.base.read_bytes()] if args.base else []
    if args.add or args.link:
        layers.append(layer(args.add, args.link))
    digests = [hashlib.sha256(data).hexdigest() for data in layers]
    config = settings(args, digests)
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": [args.name], "Layers": [f"{digest}.tar" for digest in digests]}]
    parts = [(name, config), *((f"{d}.tar", data) for d, data in zip(digests, layers, strict=True))]
    with tarfile.open(args.out, "w") as tar:
        for part, data in [*parts, ("manifest.json", json.dumps(manifest).encode())]:
            tar.addfile(entry(part, size=len(data)), io.BytesIO(data))


if __name__ == "__main__":
    main()
