"""Change single keys of a YAML text and leave every other byte of it as it is.

The text is parsed to nodes, whose marks say where in the text each key and value stands; a change is an `Edit` of that
span. Nothing is dumped, so comments, quotes, order and indentation stay.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import yaml

LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Edit(NamedTuple):
    """Replace text[start:end] by `text`."""

    start: int
    end: int
    text: str


class EditError(ValueError):
    """The text cannot be changed at this place; the message says why."""


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text with all edits; EditError when two of them are about the same place."""
    rest = len(text)
    for edit in sorted(edits, reverse=True):
        if edit.end > rest:
            line = text.count("\n", 0, edit.start) + 1
            raise EditError(f"line {line} would be changed in two ways: put another key in its place first")
        text, rest = text[: edit.start] + edit.text + text[edit.end :], edit.start
    return text


def get(node: yaml.Node | None, *path: str) -> yaml.Node | None:
    """The node below a path of mapping keys."""
    for key in path:
        found = pair(node, key)
        node = found[1] if found else None
    return node


def scalar(node: yaml.Node | None, *path: str) -> str:
    """The scalar below a path, as it is written; "" when there is none."""
    found = get(node, *path)
    return str(found.value) if isinstance(found, yaml.ScalarNode) else ""


def keys(node: yaml.Node | None) -> set[str]:
    """Of a mapping; none of anything else."""
    return {str(key.value) for key, _ in node.value} if isinstance(node, yaml.MappingNode) else set()


def put(text: str, node: yaml.MappingNode, path: Sequence[str], value: str) -> list[Edit]:
    """Edits that give the last key of the path this value, making parents that are missing."""
    key, rest = path[0], path[1:]
    found = pair(node, key)
    if found is None:
        return [_insert_first(text, node, path, value)]
    child = found[1]
    if child.start_mark.index < found[0].end_mark.index:
        raise EditError(f"{key} is a YAML alias: write it out")
    if not rest:
        return [] if child.value == value else [_replace(child, _quoted(value))]
    if isinstance(child, yaml.MappingNode) and child.value:
        return put(text, child, rest, value)
    if isinstance(child, yaml.MappingNode) or child.tag == "tag:yaml.org,2002:null":
        return [_replace(child, _flow(rest, value))]
    raise EditError(f"{key} is not a mapping")


def drop(text: str, node: yaml.MappingNode, path: Sequence[str]) -> list[Edit]:
    """Edits that remove the last key of the path, and each parent that then would be empty."""
    owner, key = node, path[0]
    current: yaml.Node = node
    for step in path:
        found = pair(current, step)
        if found is None:
            return []
        if isinstance(current, yaml.MappingNode) and len(current.value) > 1:
            owner, key = current, step
        current = found[1]
    return [_remove_pair(text, owner, key)]


def pair(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Key and value of a mapping, by the key's text."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((one for one in node.value if one[0].value == key), None)


def _quoted(value: str) -> str:
    return f'"{value}"'


def _flow(path: Sequence[str], value: str) -> str:
    text = _quoted(value)
    for key in reversed(path):
        text = f"{{{_quoted(key)}: {text}}}"
    return text


def _block(path: Sequence[str], value: str, indent: int, newline: str) -> str:
    lines = [f"{' ' * (indent + 2 * depth)}{key}:" for depth, key in enumerate(path)]
    return newline.join(lines).lstrip() + f" {value}"


def _insert_first(text: str, node: yaml.MappingNode, path: Sequence[str], value: str) -> Edit:
    if node.flow_style:
        at = node.value[0][0].start_mark.index if node.value else node.start_mark.index + 1
        return Edit(at, at, _flow(path, value)[1:-1] + (", " if node.value else ""))
    first = node.value[0][0].start_mark
    newline = "\r\n" if "\r\n" in text else "\n"
    entry = _block(path, value, first.column, newline)
    return Edit(first.index, first.index, entry + newline + " " * first.column)


def _replace(node: yaml.Node, text: str) -> Edit:
    start, end = node.start_mark.index, node.end_mark.index
    return Edit(start, end, text if start < end else f" {text}")


def _remove_pair(text: str, node: yaml.MappingNode, key: str) -> Edit:
    index = next(i for i, one in enumerate(node.value) if one[0].value == key)
    start, end = node.value[index][0].start_mark.index, content_end(node.value[index][1])
    following = node.value[index + 1][0].start_mark.index if index + 1 < len(node.value) else None
    if node.flow_style:
        if following is None and index:
            return Edit(content_end(node.value[index - 1][1]), end, "")
        return Edit(start, following or end, "")
    line_start = text.rfind("\n", 0, start) + 1
    if text[line_start:start].strip():
        return Edit(start, following or end, "")
    line_end = text.find("\n", end)
    return Edit(line_start, line_end + 1 if line_end >= 0 else len(text), "")


def content_end(node: yaml.Node) -> int:
    """Where the node's own text ends (the end mark of a block collection is the next token's)."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return content_end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)
