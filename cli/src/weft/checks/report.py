"""Results as text or JSON. Pure."""

import json
from collections.abc import Sequence

import click

from weft.checks.model import Result

MARKS = {
    "success": click.style("√", fg="green"),
    "warning": click.style("‼", fg="yellow"),
    "error": click.style("×", fg="red"),  # noqa: RUF001
}


def heading(category: str, first: bool) -> str:
    """A category's heading, apart from what precedes it."""
    return ("" if first else "\n") + f"{category}\n{'-' * len(category)}"


def entry(result: Result) -> str:
    """One check: its line, and below it what is wrong and what to do."""
    lines = [f"{MARKS[result.result]} {result.description}"]
    if result.error:
        lines += [f"    {line}" for line in result.error.splitlines()]
        lines += [f"    {result.hint}", f"    see `weft explain {result.id}`"]
    return "\n".join(lines)


def first_error(results: Sequence[Result]) -> Result | None:
    """The check to repair first; warnings are no errors."""
    return next((result for result in results if result.result == "error"), None)


def succeeded(results: Sequence[Result]) -> bool:
    """Whether there is no error."""
    return first_error(results) is None


def summary(results: Sequence[Result]) -> str:
    """The last line."""
    return f"Status check results are {MARKS['success' if succeeded(results) else 'error']}"


def document(results: Sequence[Result]) -> str:
    """One JSON document."""
    categories: dict[str, list[dict[str, object]]] = {}
    for result in results:
        checks = categories.setdefault(result.category, [])
        fields = ("id", "description", "result", "error", "hint", "seconds")
        checks.append({name: getattr(result, name) for name in fields})
    named = [{"name": name, "checks": checks} for name, checks in categories.items()]
    return json.dumps({"success": succeeded(results), "categories": named}, indent=2, ensure_ascii=False)
