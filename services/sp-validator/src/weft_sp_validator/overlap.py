"""Which requests the routes of a profile take from each other. Pure.

For paths of literal segments, single segments (`{id}`, `[^/]+`, `[^/]*`) and `.*` at the end the answer is exact. Other
regular expressions are taken as they are spelled: the same one covers them, and what takes every path.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft_kube.paths import path_regex

REST = ".*"
ONE, MAYBE = "[^/]+", "[^/]*"
OTHER = "?"
"""Begins a segment that is the rest of a path by another regular expression."""

EVERY = (REST, ".+", "(.*)", "(.+)")
_PLAIN = re.compile(r"(?:[A-Za-z0-9_~!@%&=:;,'-]|\\[^A-Za-z0-9]|\[[.]\])*")


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that a condition matches: a method ("" for any), and segments of the path."""

    method: str
    segments: tuple[str, ...]

    def covers(self, other: "Requests") -> bool:
        """Is each request of the other one of these, too?"""
        taken = Taken()
        taken.add(0, self)
        return any(True for _ in taken.covering(other))


@dataclass(slots=True)
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    ends: list[tuple[int, Requests]] = field(default_factory=list)


class Taken:
    """Routes so far, as a tree of segments: what a new one shares with them is found without asking each."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, place: int, requests: Requests) -> None:
        """The route at this place takes these requests."""
        node = self._root
        for segment in requests.segments:
            node = node.children.setdefault(segment, _Node())
        node.ends.append((place, requests))

    def covering(self, requests: Requests) -> Iterator[int]:
        """Places of routes that take all of these requests."""
        for place, other in _walk(self._root, requests.segments, _includes):
            if other.method in ("", requests.method):
                yield place

    def meeting(self, requests: Requests) -> Iterator[tuple[int, Requests]]:
        """Routes that take some of these requests."""
        for place, other in _walk(self._root, requests.segments, _meets):
            if not other.method or not requests.method or other.method == requests.method:
                yield place, other


def _walk(node: _Node, segments: tuple[str, ...], fits: Callable[[str, str], bool]) -> Iterator[tuple[int, Requests]]:
    if not segments:
        yield from node.ends
        return
    theirs = segments[0]
    # A word meets itself and what stands for many; only what stands for many must be compared with every child.
    tokens = (theirs, ONE, MAYBE, REST) if theirs[0] in ("=", OTHER) else tuple(node.children)
    for token in tokens:
        child = node.children.get(token)
        if child is None or not fits(token, theirs):
            continue
        if token == REST:
            yield from child.ends
        elif theirs == REST:
            yield from _below(child)
        else:
            yield from _walk(child, segments[1:], fits)


def _below(node: _Node) -> Iterator[tuple[int, Requests]]:
    yield from node.ends
    for child in node.children.values():
        yield from _below(child)


def requests_of(condition: Mapping[str, Any]) -> Requests:
    """What a sound condition matches."""
    path = condition.get("path")
    pattern = path_regex(path) if path else condition.get("pathRegex") or REST
    bare = pattern.removeprefix("^").removesuffix("$")
    return Requests(condition.get("method") or "", _segments(bare) or _other(bare))


def _segments(pattern: str) -> tuple[str, ...] | None:
    """The pattern cut at its slashes, each literal unescaped."""
    if pattern in EVERY:
        return (REST,)
    parts = pattern.replace(MAYBE, "\0*").replace(ONE, "\0+").split("/")
    rest = [parts.pop()] if parts[-1] == REST else []
    found = [_segment(part) for part in parts]
    if any(one is None for one in found):
        return None
    return tuple(str(one) for one in [*found, *rest])


def _other(pattern: str) -> tuple[str, ...]:
    """The pattern as it is spelled; behind the slash that all its paths begin with, if that is plain to see."""
    shape = re.sub(r"\\.|\[(\\.|[^\]\\])*\]", "x", pattern)
    while (outer := re.sub(r"\([^()]*\)", "x", shape)) != shape:
        shape = outer
    rooted = all(re.match(r"/(?![?*{])", branch) for branch in shape.split("|"))
    return ("=", OTHER + pattern) if rooted else (OTHER + pattern,)


def _segment(part: str) -> str | None:
    if part in ("\0+", "\0*"):
        return ONE if part == "\0+" else MAYBE
    return "=" + re.sub(r"\\(.)|\[(.)\]", r"\1\2", part) if _PLAIN.fullmatch(part) else None


def _includes(mine: str, theirs: str) -> bool:
    if mine in (REST, theirs):
        return True
    if theirs == REST or theirs[0] == OTHER:
        return False
    return mine == MAYBE or (mine == ONE and theirs not in (MAYBE, "="))


def _meets(mine: str, theirs: str) -> bool:
    """Is there a text of both?"""
    return _includes(mine, theirs) or _includes(theirs, mine)
