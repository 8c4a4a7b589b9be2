"""`weft explain`: every word that an output can hold is explained, offline."""

import re
from pathlib import Path
from typing import Any

import pytest
from weft import explanations
from weft.checks.plan import every_check
from weft.views.metrics import NOT_SECURED
from weft.why.collect import CORE
from weft.why.rules_mesh import REFUSALS
from weft_web import check
from weft_web.problems import CODES

ROOT = Path(__file__).parents[2]
WHY = ROOT / "cli" / "src" / "weft" / "why"
REASONS = re.compile(r'(?:"reason": |_tell\(request, pod, |events\.warn\(\w+, )"(\w+)"')


def named(pattern: str | re.Pattern[str], *files: Path) -> set[str]:
    """All that a pattern finds in files."""
    return {found for file in files for found in re.findall(pattern, file.read_text())}


def test_every_code_of_the_proxy_is_explained() -> None:
    """Those of error.rs, and no other; the dashboard has words for each, too."""
    codes = named(r'=> "(E\d+)"', ROOT / "proxy" / "weft-proxy" / "src" / "error.rs")
    assert (codes, set(CODES)) == (set(explanations.ERRORS), codes)


def test_every_cause_is_explained() -> None:
    """Those that the rules of `weft why` name, and no other."""
    ids = named(r'Cause\(\s*"([\w-]+)"', *WHY.glob("rules_*.py"))
    ids |= {id_ for id_, _, _ in REFUSALS.values()} | {f"control-plane-{name}" for name in CORE}
    assert ids == set(explanations.CAUSES)


def test_every_event_is_explained() -> None:
    """Reasons of those that the control plane writes, and no other."""
    assert named(REASONS, *(ROOT / "services").glob("*/src/*/*.py")) == set(explanations.EVENTS)


def test_every_alert_is_explained() -> None:
    """Those of alerts.yml, and no other."""
    rules = ROOT / "charts" / "mesh" / "charts" / "viz" / "files" / "rules" / "alerts.yml"
    assert named(r"- alert: (\w+)", rules) == set(explanations.ALERTS)


def test_every_check_of_the_dashboard_is_explained() -> None:
    """Those of its API, and no other."""
    ids = named(r'Check\("([\w-]+)"', Path(check.__file__)) | {f"{name}-ready" for name in check.COMPONENTS}
    assert ids == set(explanations.DASHBOARD)


def test_no_two_words_are_the_same() -> None:
    """Whatever their case: each has one explanation."""
    parts = (explanations.ERRORS, explanations.TLS, explanations.CAUSES, explanations.EVENTS, explanations.ALERTS)
    words = [word.lower() for part in (*parts, explanations.DASHBOARD, every_check()) for word in part]
    assert len(words) == len(set(words))


def test_every_reason_for_plain_text_is_explained() -> None:
    """Those that `viz edges` prints in words."""
    assert set(NOT_SECURED) == set(explanations.TLS)


@pytest.mark.parametrize("word", sorted(explanations.EVERY))
def test_explanations_end_with_a_step(weft: Any, word: str) -> None:
    """Meaning and next step are sentences."""
    found = explanations.EVERY[word]
    assert (found.meaning[-1], found.step[-1]) == (".", ".")
    assert weft("explain", word.lower()).stdout.startswith(f"{word}: {found.title}\n")


def test_an_explanation(weft: Any, same: Any) -> None:
    """What it means, and what to do."""
    same("explain.txt", weft("explain", "E104").stdout)


def test_explain_lists_everything(weft: Any) -> None:
    """Without an ID."""
    listed = {line.split()[0] for line in weft("explain").stdout.splitlines()[1:]}
    assert listed == set(explanations.EVERY) | set(every_check())


def test_explain_an_unknown_word(weft: Any) -> None:
    """One line, with what may have been meant."""
    result = weft("explain", "E1o4")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("weft: there is nothing called 'E1o4'. Did you mean")
    assert "E104" in result.stderr
