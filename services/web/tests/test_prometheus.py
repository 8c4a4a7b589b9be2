"""Queries to a Prometheus that does not answer."""

import asyncio
from typing import Any

import pytest
from weft_web import prometheus
from weft_web.prometheus import PARALLEL, PrometheusError


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A query has a fifth of a second."""
    monkeypatch.setattr(prometheus, "TIMEOUT_SECONDS", 0.2)


async def test_a_prometheus_that_hangs_is_waited_for_once(lab: Any) -> None:
    """Home needs more queries than there are slots: they do not wait one after the other."""
    lab.prometheus.hung = ""
    answer = await lab.get("problems")
    assert any("cannot be asked: no answer in" in text for text in answer["warnings"])
    assert len(lab.prometheus.asked) == 1


async def test_who_waits_for_others_has_no_more_time(lab: Any) -> None:
    """All queries that began together end together: most of those that had to wait are never sent."""
    lab.prometheus.hung = ""
    asked = (lab.asking.query(f"q{number}") for number in range(3 * PARALLEL))
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(one) for one in found} == {PrometheusError}
    assert len(lab.prometheus.asked) < 3 * PARALLEL


async def test_one_slow_query_is_no_hanging_prometheus(lab: Any) -> None:
    """Others, which were answered meanwhile, go on."""
    lab.prometheus.hung = "slow"
    slow, quick = await asyncio.gather(*map(lab.asking.query, ("slow", "quick")), return_exceptions=True)
    assert (type(slow), quick) == (PrometheusError, [])
    assert await lab.asking.query("again") == []
