"""JSON that nests deeper than a decoder goes, cut to where it can be read. Pure.

A stranger may write such an object (`managedFields` takes any depth), and a page or an event is decoded as a whole.
"""

import re

DEEPEST = 500
"""Brackets in each other; msgspec takes about twice as many, and objects that anybody needs have twenty."""

_TOKENS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}]', re.DOTALL)


def shallow(data: bytes, level: int) -> bytes:
    """`data` with null for each list and object that stands within `level` brackets and nests too deep."""
    parts, kept, begin = [], 0, 0
    depth, deep = 0, False
    for token in _TOKENS.finditer(data):
        if token[0] in b"{[":
            if depth == level:
                begin, deep = token.start(), False
            depth += 1
            deep = deep or depth > DEEPEST
        elif token[0] in b"}]":
            depth -= 1
            if depth == level and deep:
                parts += [data[kept:begin], b"null"]
                kept = token.end()
    return b"".join([*parts, data[kept:]])
