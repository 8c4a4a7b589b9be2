"""Durations in settings: whole numbers with units, in any number."""

from datetime import timedelta

import pytest
from weft_runtime.config import duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("300ms", timedelta(milliseconds=300)),
        ("24h", timedelta(hours=24)),
        ("1m30s", timedelta(seconds=90)),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, expected: timedelta) -> None:
    """Each part is a number with a unit."""
    assert duration(text) == expected


@pytest.mark.parametrize("text", ["", "10", "s", "1.5s", "-1s", "10s ", "1d", "9" * 400 + "h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number alone has no meaning; fractions and signs are not needed."""
    with pytest.raises(ValueError, match="is no duration"):
        duration(text)
