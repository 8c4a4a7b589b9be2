"""The dashboard's files; every other path is a page of it, so it answers with index.html."""

from pathlib import Path

from aiohttp import web

MISSING = "The dashboard is not part of this image; the public API is at /api/v1/openapi.json\n"


class Static:
    """Serves one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """A file by its path, else the page."""
        path = (self._folder / request.match_info["path"].lstrip("/")).resolve()
        if path.is_relative_to(self._folder) and path.is_file():
            return web.FileResponse(path, headers={"Cache-Control": _cache(path.relative_to(self._folder))})
        page = self._folder / "index.html"
        if not page.is_file():
            return web.Response(status=404, text=MISSING)
        return web.FileResponse(page, headers={"Cache-Control": "no-cache"})


def _cache(path: Path) -> str:
    """Names of what the build put under assets/ hold a hash of the content."""
    return "public, max-age=31536000, immutable" if path.parts[0] == "assets" else "no-cache"
