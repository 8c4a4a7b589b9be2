"""What a command is given to read: files, folders, URLs, `-` for standard input."""

import sys
from collections.abc import Iterator
from pathlib import Path

from weft.errors import Failure

SUFFIXES = {".yaml", ".yml", ".json"}
URL_SECONDS = 30
MAX_BYTES = 64 * 1024 * 1024


def read(source: str, encoding: str = "utf-8-sig") -> Iterator[tuple[str, str]]:
    """Names and texts; without a byte order mark, unless the encoding keeps it."""
    for name, data in _bytes(source):
        try:
            yield name, data.decode(encoding)
        except UnicodeDecodeError as error:
            raise Failure(f"{name} is not text", "Give YAML or JSON in UTF-8.") from error


def _bytes(source: str) -> Iterator[tuple[str, bytes]]:
    if source == "-":
        yield "standard input", sys.stdin.buffer.read()
    elif source.startswith(("http://", "https://")):
        yield source, _fetch(source)
    else:
        for path in _files(Path(source)):
            try:
                yield str(path), path.read_bytes()
            except OSError as error:
                raise Failure(f"cannot read {path}: {error.strerror}", "Give a file, folder, URL or -.") from error


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())


def _fetch(url: str) -> bytes:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=URL_SECONDS) as response:  # noqa: S310
            data = bytes(response.read(MAX_BYTES + 1))
    except (OSError, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise Failure(f"cannot fetch {url}: {error}", "Download it, and give the file.") from error
    if len(data) > MAX_BYTES:
        raise Failure(f"{url} is larger than {MAX_BYTES >> 20} MiB", "Download it, and give the part that is wanted.")
    return data
