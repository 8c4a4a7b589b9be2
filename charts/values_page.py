"""docs/values.md and files/defaults.yaml, for chart and subchart: `python charts/values_page.py` (make gen)."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CHART = Path(__file__).parent / "mesh"
CHARTS = (CHART, CHART / "charts/viz")
PAGE = Path(__file__).parents[1] / "docs/values.md"
DEFAULTS = "files/defaults.yaml"
INTRODUCTION = """# Values of the chart

Made from `charts/mesh/values.yaml` and its schema by `make gen`. Unknown keys and wrong types are refused, and keys
that are left empty, but for defaults below `resources` and `nodeSelector`, which `null` takes away. Values are set by
`helm … --set KEY=VALUE` or `--values FILE`, and `weft install` takes the same options.
"""

Json = Mapping[str, Any]
Read = Callable[[Path], str]
"""What gives a file's text: a release asks for pages of files that are not written yet."""


class Value(NamedTuple):
    """One value: its dotted key, default, what may be set and what it means."""

    key: str
    default: Any
    allowed: str
    meaning: str


def pages(read: Read = Path.read_text) -> dict[Path, str]:
    """All that is made of the values, by path."""
    return {PAGE: page(read), **{chart / DEFAULTS: defaults(chart, read) for chart in CHARTS}}


def page(read: Read = Path.read_text) -> str:
    """The whole page of values."""
    viz = [value._replace(key=f"viz.{value.key}") for value in values(CHART / "charts/viz", read)]
    return f"{INTRODUCTION}\n{_table(values(CHART, read))}\n\n## Subchart viz\n\n{_table(viz)}\n"


def defaults(chart: Path, read: Read = Path.read_text) -> str:
    """The values as templates can read them, which values.yaml itself they cannot."""
    given = yaml.safe_load(read(chart / "values.yaml"))
    return "# values.yaml without its comments, made by `make gen`.\n" + yaml.safe_dump(given, sort_keys=False)


def values(chart: Path, read: Read = Path.read_text) -> list[Value]:
    """Every value of one chart, in the file's order."""
    text, schema = read(chart / "values.yaml"), json.loads(read(CHART / "values.schema.json"))
    told, top = comments(text), schema if chart == CHART else schema["properties"][chart.name]
    return [
        Value(key, default, _allowed(node), told.get(key) or node.get("description", ""))
        for key, default, node in _leaves(yaml.safe_load(text), top, schema["$defs"])
    ]


def comments(text: str) -> dict[str, str]:
    """What stands in comments directly above each key, by its dotted key."""
    found: dict[str, str] = {}
    path: list[str] = []
    told: list[str] = []
    for line in text.splitlines():
        if comment := re.match(r" *# ?(.*)", line):
            told.append(comment[1])
            continue
        if key := re.match(r"( *)([A-Za-z]+):", line):
            path = [*path[: len(key[1]) // 2], key[2]]
            found[".".join(path)] = " ".join(told)
        told = []
    return found


def _leaves(given: Json, schema: Json, kinds: Json, prefix: str = "") -> Iterator[tuple[str, Any, Json]]:
    for name, default in given.items():
        node = schema["properties"][name]
        node = kinds[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if "properties" in node and "description" not in node:
            yield from _leaves(default, node, kinds, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", default, node


def _allowed(node: Json) -> str:
    if "enum" in node:
        return ", ".join(f"`{one}`" for one in node["enum"])
    types = node.get("type", "")
    bound = f" from {node['minimum']}" if "minimum" in node else ""
    return (types if isinstance(types, str) else " or ".join(types)) + bound


def _table(rows: list[Value]) -> str:
    lines = [f"| `{row.key}` | `{json.dumps(row.default)}` | {row.allowed} | {_text(row.meaning)} |" for row in rows]
    return "\n".join(["| value | default | what | meaning |", "|---|---|---|---|", *lines])


def _text(comment: str) -> str:
    """A comment as Markdown: words that look like HTML are none."""
    return comment.replace("<", "&lt;")


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
