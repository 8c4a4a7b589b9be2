"""The dashboard's files; every other path is a page of it, so it answers with index.html."""

import asyncio
import mimetypes
from pathlib import Path
from urllib.parse import unquote

from weft_http.message import Request, Response

MISSING = "The dashboard is not part of this image; the public API is at /api/v1/openapi.json\n"


class Static:
    """Serves one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def serve(self, request: Request) -> Response:
        """A file by its path, else the page."""
        return await asyncio.to_thread(self._read, unquote(request.path).replace("\0", "").lstrip("/"))

    def _read(self, name: str) -> Response:
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder) or not path.is_file():
            path = self._folder / "index.html"
        if not path.is_file():
            return Response(MISSING.encode(), 404)
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        charset = "; charset=utf-8" if kind.startswith("text/") else ""
        cache = {"Cache-Control": _cache(path.relative_to(self._folder))}
        return Response(path.read_bytes(), content_type=kind + charset, headers=cache)


def _cache(path: Path) -> str:
    """Names of what the build put under assets/ hold a hash of the content."""
    return "public, max-age=31536000, immutable" if path.parts[0] == "assets" else "no-cache"
