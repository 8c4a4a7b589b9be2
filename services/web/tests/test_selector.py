"""Label selectors."""

import pytest
from weft_web.selector import parse_selector, selects

LABELS = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app!=web", False),
        ("other!=x", True),
        ("app", True),
        ("!app", False),
        ("app in (web, db),tier notin (back)", True),
        ("app in (db)", False),
    ],
)
def test_selectors_mean_what_kubectl_means(text: str, expected: bool) -> None:
    """Every form of kubectl's -l."""
    assert expected == selects(parse_selector(text), LABELS)
