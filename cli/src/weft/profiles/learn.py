"""Routes learned from requests: paths that differ only in ids are one template. Pure, and bounded in memory."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from weft.profiles.model import METHODS, Route, ordered

MAX_PATHS = 5_000
"""Different paths that are kept apart; what comes later is only counted."""

MAX_SEGMENTS = 20
MAX_LENGTH = 200
"""Characters of a path, its ids left out: a template of it, with names for them, is no longer than a profile allows."""

MANY = 8
"""Of so many different words in one place, each in a path of its own, no one is a name that developers chose."""

_ID = re.compile(
    r"\d+"
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|(?=[^/]*\d)[0-9a-fA-F]{8,}"
    r"|(?=[^/]*\d)(?=[^/]*[A-Za-z])[A-Za-z0-9_-]{16,}"
    r"|[^/]*[@%][^/]*"
)
_PLAIN = re.compile("[!-z|~]*")
"""Printable ASCII without braces, which templates use."""

Path = tuple[str, ...]


class Learner:
    """Counts requests by method and path, and clusters them at the end."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, Path]] = Counter()
        self.requests = 0
        self.left_out = 0
        """Requests that no route was learned from: of other methods, without a path, of too many or too long ones."""

    def add(self, method: str, path: str) -> None:
        """A request, by its path with or without a query."""
        self.requests += 1
        segments = tuple(_masked(segment) for segment in path.partition("?")[0].split("/"))
        key = (method, segments)
        room = key in self._seen or len(self._seen) < MAX_PATHS
        if room and method in METHODS and path.startswith("/") and _short(segments):
            self._seen[key] += 1
        else:
            self.left_out += 1

    def routes(self, limit: int) -> list[Route]:
        """At most so many templates, those with the most requests."""
        merged: Counter[tuple[str, Path]] = Counter()
        for shape in {(method, len(path)) for method, path in self._seen}:
            merged.update(_merged(shape[0], {p: n for (m, p), n in self._seen.items() if (m, len(p)) == shape}))
        most = sorted(merged.items(), key=lambda item: (-item[1], item[0]))[:limit]
        return ordered(Route(method, "/".join(_named(path))) for (method, path), _ in sorted(most))


def _short(segments: Path) -> bool:
    return len(segments) - 1 <= MAX_SEGMENTS and len("/".join(segments)) <= MAX_LENGTH


def _masked(segment: str) -> str:
    return "{}" if _ID.fullmatch(segment) or not _PLAIN.fullmatch(segment) else segment


def _merged(method: str, paths: dict[Path, int]) -> Counter[tuple[str, Path]]:
    """Place by place, from the left: where many words follow the same beginning, they are one parameter."""
    for place in range(len(next(iter(paths)))):
        following: dict[Path, set[str]] = {}
        for path in paths:
            following.setdefault(path[:place], set()).add(path[place])
        paths = _fold(paths, place, {start for start, words in following.items() if len(words) > MANY})
    return Counter({(method, path): number for path, number in paths.items()})


def _fold(paths: dict[Path, int], place: int, crowded: Iterable[Path]) -> dict[Path, int]:
    folded: Counter[Path] = Counter()
    for path, number in paths.items():
        folded[(*path[:place], "{}", *path[place + 1 :]) if path[:place] in crowded else path] += number
    return folded


def _named(path: Path) -> Iterator[str]:
    """Parameters named after what stands before them: /teas/{tea}, else {id}, {id2}."""
    used: Counter[str] = Counter()
    for before, segment in zip(("", *path), path, strict=False):
        if segment != "{}":
            yield segment
            continue
        word = before.removesuffix("s") if re.fullmatch("[A-Za-z_]{2,}s", before) else "id"
        used[word] += 1
        yield f"{{{word}{used[word] if used[word] > 1 else ''}}}"
