"""Annotations of Services: each is read, each fault is named, and says what was meant."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weft_destination.route import NO_SETTINGS, Breaker, Retry, RetryBudget, Settings
from weft_destination.settings import SETTINGS, read_settings

PREFIX = "config.weft.dev/"
PAGE = Path(__file__).parents[3] / "docs" / "routing.md"


def read(**words: str) -> tuple[Settings, tuple[str, ...]]:
    """Settings and faults of annotations, whose names are spelled with _ here."""
    return read_settings({PREFIX + name.replace("_", "-"): word for name, word in words.items()})


def test_every_setting() -> None:
    """The table's examples, all together."""
    settings, faults = read_settings({PREFIX + name: setting.example for name, setting in SETTINGS.items()})

    assert faults == ()
    assert settings == Settings(
        10_000,
        2000,
        Retry((429, 502, 503, 504), (10, 14), 2, 25),
        RetryBudget(200, 10, 10_000),
        Breaker(7, 1000, 60_000, 900, 10_000, 10),
    )


def test_what_is_not_said_is_as_it_was() -> None:
    """No annotation, and others' annotations, say nothing here; opaque-ports are the protocol's to read."""
    assert read_settings({"a": "b", "config.weft.dev/opaque-ports": "25"}) == (NO_SETTINGS, ())
    assert read(request_timeout="0s")[0] == Settings(timeout_ms=0)
    assert read(retry_statuses="503")[0].retry == Retry((503,), (), 1)
    assert read(breaker_min_success="0.5")[0].breaker == Breaker(min_success_permille=500)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("request-timeout", "10", "'10' is no duration"),
        ("retry-statuses", "200", "'200' is no status from 400 to 599"),
        ("retry-statuses", "504-502", "'504-502' is no status"),
        ("retry-grpc-codes", "unavailible", "'unavailible' is no gRPC code"),
        ("retry-grpc-codes", "0", "'0' is no gRPC code"),
        ("retry-limit", "11", "'11' is not a number from 1 to 10"),
        ("retry-budget-ratio", "20", "'20' is not between 0 and 1"),
        ("retry-budget-window", "999ms", "'999ms' is shorter than 1s"),
        ("breaker-max-penalty", "500ms", "is shorter than 1s, breaker-min-penalty's default"),
        ("opaque-ports", "redis", "'redis' is neither a port nor a range of ports"),
        ("retry-limits", "2", "a Service has no such setting; did you mean retry-limit?"),
        ("retry-backoff", "1s", "has no effect without retry-limit or retry-statuses or retry-grpc-codes"),
        ("breaker-window", "1s", "has no effect without breaker-min-success"),
    ],
)
def test_faults(name: str, value: str, fault: str) -> None:
    """By the annotation's name; it holds nothing, and the others hold."""
    settings, faults = read_settings({PREFIX + name: value, PREFIX + "try-timeout": "1s"})

    assert (settings, len(faults)) == (Settings(backend_timeout_ms=1000), 1)
    assert faults[0].startswith(f"annotation {PREFIX}{name}: {fault}")


def test_what_cannot_be_together() -> None:
    """One of the two holds."""
    settings, faults = read(request_timeout="1s", try_timeout="2s")

    assert settings == Settings(timeout_ms=1000)
    assert faults == (f"annotation {PREFIX}try-timeout: is longer than request-timeout",)


@given(st.dictionaries(st.sampled_from(list(SETTINGS)).map(PREFIX.__add__), st.text(max_size=12)))
def test_no_content_breaks_the_reader(annotations: dict[str, str]) -> None:
    """A fault for each annotation at most, whatever stands there."""
    assert len(read_settings(annotations)[1]) <= len(annotations)


def test_the_page_names_them_all() -> None:
    """With the same examples and the same words."""
    page = PAGE.read_text()
    rows = [f"| `{one.name}` | `{one.example}` | {one.doc} |" for one in SETTINGS.values()]
    assert [row for row in rows if row not in page] == []
