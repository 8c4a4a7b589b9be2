"""Which requests the routes of a profile take from each other. Pure.

Only conditions are judged whose paths are literal segments, single segments (`{id}`, `[^/]+`, `[^/]*`) and `.*` at the
end: for these the answer is exact. What other regular expressions share is not asked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft_kube.paths import path_regex

REST = ".*"
ONE, MAYBE = "[^/]+", "[^/]*"
_PLAIN = re.compile(r"(?:[A-Za-z0-9_~!@%&=:;,'-]|\\[^A-Za-z0-9]|\[[.]\])*")


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that a condition matches: a method ("" for any), and segments of the path."""

    method: str
    segments: tuple[str, ...]

    def covers(self, other: "Requests") -> bool:
        """Is each request of the other one of these, too?"""
        if self.method not in ("", other.method):
            return False
        return self._compare(other, _includes)

    def meets(self, other: "Requests") -> bool:
        """Is there a request of both?"""
        if self.method and other.method and self.method != other.method:
            return False
        return self._compare(other, lambda mine, theirs: _includes(mine, theirs) or _includes(theirs, mine))

    def _compare(self, other: "Requests", fits: Any) -> bool:
        for position, mine in enumerate(self.segments):
            theirs = other.segments[position] if position < len(other.segments) else None
            if theirs is None or not fits(mine, theirs):
                return False
            if REST in (mine, theirs):
                return True
        return len(self.segments) == len(other.segments)


def requests_of(condition: Mapping[str, Any]) -> Requests | None:
    """What a sound condition matches; None when that cannot be said."""
    path = condition.get("path")
    pattern = path_regex(path) if path else condition.get("pathRegex") or REST
    segments = _segments(pattern)
    return Requests(condition.get("method") or "", segments) if segments else None


def _segments(pattern: str) -> tuple[str, ...] | None:
    """The pattern cut at its slashes, each literal unescaped."""
    parts = pattern.removeprefix("^").removesuffix("$").replace(MAYBE, "\0*").replace(ONE, "\0+").split("/")
    rest = [parts.pop()] if parts[-1] == REST else []
    found = [_segment(part) for part in parts]
    if any(one is None for one in found):
        return None
    return tuple(str(one) for one in [*found, *rest])


def _segment(part: str) -> str | None:
    if part in ("\0+", "\0*"):
        return ONE if part == "\0+" else MAYBE
    return "=" + re.sub(r"\\(.)|\[(.)\]", r"\1\2", part) if _PLAIN.fullmatch(part) else None


def _includes(mine: str, theirs: str) -> bool:
    if mine in (REST, theirs):
        return True
    if mine == MAYBE:
        return theirs != REST
    return mine == ONE and theirs not in (REST, MAYBE, "=")
