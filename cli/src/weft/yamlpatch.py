"""Put values into a YAML text, and take them out again, without touching the rest: edits of `yamledit`.

In block style values are written as blocks, in flow style (JSON, too) as JSON.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from weft.yamledit import Edit, EditError, content_end, drop, get, pair

Entry = tuple[int, int]
"""Where a pair or an item begins and ends."""


def merge(text: str, node: yaml.Node, wanted: Mapping[str, Any]) -> list[Edit]:
    """Edits by which the mapping holds these values; mappings within are merged."""
    edits: list[Edit] = []
    for key, value in wanted.items():
        found = pair(node, key)
        child = found[1] if found else None
        if child is None:
            edits.append(_insert_pair(text, node, key, value))
        elif isinstance(value, Mapping) and isinstance(child, yaml.MappingNode) and child.value:
            edits += merge(text, child, value)
        elif child.value != value:
            edits.append(_replace(child, json.dumps(value)))
    return edits


def prepend(text: str, node: yaml.MappingNode, key: str, items: Sequence[Any]) -> Edit:
    """Puts items before those of the list `key`, which may be missing."""
    found = pair(node, key)
    if found is None:
        return _insert_pair(text, node, key, items)
    child = found[1]
    if not isinstance(child, yaml.SequenceNode) or not child.value:
        return _replace(child, json.dumps(items))
    if child.flow_style:
        at = _span(child.value[0])[0]
        return Edit(at, at, json.dumps(items)[1:-1] + ", ")
    at, column = child.start_mark.index, child.start_mark.column
    return Edit(at, at, _block(text, items, column))


def rename(node: yaml.Node, key: str, name: str, value: Any) -> Edit:
    """Puts another pair in the place of one."""
    found = pair(node, key)
    if found is None:
        raise EditError(f"there is no {key}")
    start, end = _span(found)
    return Edit(start, end, f"{json.dumps(name)}: {json.dumps(value)}")


def remove_items(text: str, node: yaml.Node, key: str, chosen: Callable[[yaml.Node], bool]) -> list[Edit]:
    """Takes items out of the list `key`; the list itself, if it would be empty."""
    return _remove(text, node, key, chosen)


def remove_keys(text: str, node: yaml.Node, key: str, keys: set[str]) -> list[Edit]:
    """Takes pairs out of the mapping `key`; the mapping itself, if it would be empty."""
    return _remove(text, node, key, lambda entry: entry[0].value in keys)


def _remove(text: str, node: yaml.Node, key: str, chosen: Callable[[Any], bool]) -> list[Edit]:
    child = get(node, key)
    if not isinstance(node, yaml.MappingNode) or not isinstance(child, yaml.CollectionNode):
        return []
    gone = [chosen(entry) for entry in child.value]
    if not any(gone):
        return []
    if all(gone):
        return drop(text, node, (key,))
    spans = [_span(entry) for entry in child.value]
    if child.flow_style:
        return _remove_flow(spans, gone)
    return [_lines(text, span) for span, taken in zip(spans, gone, strict=True) if taken]


def _remove_flow(spans: list[Entry], gone: list[bool]) -> list[Edit]:
    """Each with the comma behind it; those at the end with the comma before."""
    kept = [place for place, taken in enumerate(gone) if not taken]
    edits = []
    for place, taken in enumerate(gone):
        if taken and place < kept[-1]:
            edits.append(Edit(spans[place][0], spans[place + 1][0], ""))
    if kept[-1] < len(spans) - 1:
        edits.append(Edit(spans[kept[-1]][1], spans[-1][1], ""))
    return edits


def _lines(text: str, span: Entry) -> Edit:
    """The whole lines of a pair or item."""
    start = text.rfind("\n", 0, span[0]) + 1
    if text[start : span[0]].strip() not in ("", "-"):
        raise EditError("it shares a line with something else: write one entry a line")
    end = text.find("\n", span[1])
    return Edit(start, end + 1 if end >= 0 else len(text), "")


def _span(entry: Any) -> Entry:
    first, last = entry if isinstance(entry, tuple) else (entry, entry)
    return first.start_mark.index, content_end(last)


def _insert_pair(text: str, node: yaml.Node, key: str, value: Any) -> Edit:
    if not isinstance(node, yaml.MappingNode):
        raise EditError(f"{key} has no mapping to stand in")
    if node.flow_style:
        at = _span(node.value[0])[0] if node.value else node.start_mark.index + 1
        return Edit(at, at, json.dumps({key: value})[1:-1] + (", " if node.value else ""))
    first = node.value[0][0].start_mark
    return Edit(first.index, first.index, _block(text, {key: value}, first.column))


def _block(text: str, value: Any, column: int) -> str:
    """Lines for a place where something follows in the same column."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000).splitlines()
    return "".join(line + newline + " " * column for line in lines)


def _replace(node: yaml.Node, text: str) -> Edit:
    start, end = node.start_mark.index, node.end_mark.index
    return Edit(start, end, text if start < end else f" {text}")
