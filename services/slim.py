"""What a service needs of the base image, and nothing else: `python slim.py OUT`, run where /app is.

Interpreter, standard library, the shared libraries that they and /app name, certificates of public authorities. No
shell and no package manager: a fraction of the base's size, and nothing for an intruder to start.
"""

import compileall
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

APP = Path("/app")
UNUSED = ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "distutils", "pydoc_data", "config-*")
"""Folders of the standard library that no service imports."""
KEPT = (
    *("/etc/ssl", "/usr/lib/ssl", "/usr/share/ca-certificates", "/etc/ld.so.cache", "/etc/nsswitch.conf"),
    *("/etc/os-release", "/usr/lib/os-release"),
)
"""Files and folders besides, where the base has them."""


def main(out: Path) -> None:
    """Writes the file system without /app."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(stdlib, out / stdlib.relative_to("/"), ignore=shutil.ignore_patterns(*UNUSED, "site-packages"))
    # The public image leaves the bytecode out; a root that cannot be written would compile it at every start, which
    # takes a second and leaves 5 MB of holes in the heap.
    compileall.compile_dir(out / stdlib.relative_to("/"), stripdir=out, prependdir="/", quiet=1)
    for path in {*links(APP / "bin/python"), *libraries(stdlib), *map(Path, KEPT)}:
        copy(path, out)
    for path in (Path("/lib"), Path("/lib64")):
        if path.is_symlink():
            (out / path.name).symlink_to(path.readlink())
    (out / "tmp").mkdir()
    (out / "tmp").chmod(0o1777)


def libraries(stdlib: Path) -> Iterator[Path]:
    """Shared libraries, as the loader finds them, with the names by which it does."""
    binaries = [Path(sys.executable).resolve(), *stdlib.rglob("*.so"), *APP.rglob("*.so*")]
    named = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    for path in {*re.findall(r"(?:=> |\t)(/\S+) \(0x", named), *map(str, loaded_late())}:
        yield from links(Path(path))


def loaded_late() -> Iterator[Path]:
    """What the C library loads by itself when a thread ends."""
    return Path("/").glob("lib/*-linux-gnu/libgcc_s.so.1")


def links(path: Path) -> Iterator[Path]:
    """A file with every symbolic link on the way to it."""
    yield path
    while path.is_symlink():
        path = path.parent / path.readlink()
        yield path


def copy(path: Path, out: Path) -> None:
    """One file, link or folder to the same place; what the base lacks, or /app has, is left out."""
    target = out / path.parent.resolve().relative_to("/") / path.name
    if path.is_relative_to(APP) or not path.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(path, target, follow_symlinks=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
