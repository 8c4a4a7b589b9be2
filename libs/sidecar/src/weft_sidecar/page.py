"""docs/injection.md's table of options."""

from collections.abc import Iterator

from weft_sidecar.options import OPTIONS, Option

BEGIN = "<!-- options: written by `make gen` from libs/sidecar, not by hand -->"
END = "<!-- end of options -->"


def with_table(page: str) -> str:
    """The page with the table as it is now between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([before + BEGIN, *_lines(), END + after])


def _lines() -> Iterator[str]:
    yield "| annotation `config.weft.dev/…` | type, example | default | cluster-wide: chart value | meaning |"
    yield "|---|---|---|---|---|"
    yield from map(_row, OPTIONS.values())


def _row(option: Option) -> str:
    default, value = _code(option.default), _code(option.value)
    return f"| `{option.name}` | {option.type.name}: `{option.type.example}` | {default} | {value} | {option.doc} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
