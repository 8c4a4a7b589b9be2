"""Paths of all files of an image's layers: `docker save IMAGE | python3 files.py`."""

import sys
import tarfile

with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as archive:
    for member in archive:
        layer = archive.extractfile(member)
        try:
            with tarfile.open(fileobj=layer, mode="r|*") as files:
                print(*(file.name for file in files if not file.isdir()), sep="\n")
        except (tarfile.ReadError, ValueError):  # no layer: a manifest, a folder
            continue
