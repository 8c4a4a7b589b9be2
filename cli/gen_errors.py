"""docs/errors.md from what `weft explain` knows: `python cli/gen_errors.py` (make gen)."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from weft import explanations
from weft.checks.plan import every_check
from weft.explanations.model import Explanation

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
INTRODUCTION = """# Errors and checks by id

What `weft explain ID` says, all at once; made from it by `make gen`.
"""
ERRORS = (
    "in the header `weft-error`, in tap, in `weft_proxy_errors_total{code}`; statuses and details: [proxy.md](proxy.md)"
)
DASHBOARD = "on its page Check and in the answer of its API; what holds when the check succeeds"


def page() -> str:
    """The whole page."""
    checks = [
        (name, f"{check.description}{_level(check.warning)}", check.hint) for name, check in every_check().items()
    ]
    return "\n".join(
        [
            INTRODUCTION,
            _section("Errors of the proxy", ERRORS, _explained(explanations.ERRORS)),
            _section("Reasons for plain text", "in the label `tls` of metrics and tap", _explained(explanations.TLS)),
            _section("Causes", "in `weft why`; with `-o json` their `id`", _explained(explanations.CAUSES)),
            _section("Events", "their reason", _explained(explanations.EVENTS)),
            _section("Alerts", "their name", _explained(explanations.ALERTS)),
            _section("Checks of the dashboard", DASHBOARD, _explained(explanations.DASHBOARD)),
            _section("Checks", "of `weft check`; what holds when the check succeeds", checks),
        ]
    )


def _level(warning: bool) -> str:
    return " (a warning when not)" if warning else ""


def _explained(known: Mapping[str, Explanation]) -> list[tuple[str, str, str]]:
    return [(name, f"**{found.title}**: {found.meaning}", found.step) for name, found in known.items()]


def _section(title: str, where: str, rows: Iterable[tuple[str, str, str]]) -> str:
    lines = [f"| `{name}` | {_cell(meaning)} | {_cell(step)} |" for name, meaning, step in rows]
    return "\n".join(
        [f"## {title}", "", f"Where: {where}.", "", "| id | meaning | next step |", "|---|---|---|", *lines, ""]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
