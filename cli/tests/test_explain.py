"""`weft explain`: every word that an output can hold is explained, offline."""

import re
from pathlib import Path
from typing import Any

import pytest
from weft import explanations
from weft.checks.plan import every_check
from weft.views.metrics import NOT_SECURED

PROXY_ERRORS = Path(__file__).parents[2] / "proxy" / "weft-proxy" / "src" / "error.rs"


def test_every_code_of_the_proxy_is_explained() -> None:
    """Those of error.rs, and no other."""
    assert set(re.findall(r'=> "(E\d+)"', PROXY_ERRORS.read_text())) == set(explanations.ERRORS)


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
