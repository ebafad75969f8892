"""Counting calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jshost.pool.statistics import BOUNDS_S, CallStatistics, Statistics


def test_what_was_not_called_is_not_there() -> None:
    statistics = Statistics()
    assert dict(statistics) == {}
    statistics["f"].succeeded(0.1)
    assert statistics["f"].outcomes == {"ok": 1}
    assert list(statistics) == ["f"]


def test_outcomes() -> None:
    counted = CallStatistics()
    for seconds in (0.0001, 0.2, 99):
        counted.succeeded(seconds)
    counted.failed(0.1, "timeout")
    counted.failed(0.1, "timeout")
    counted.others["queue_full"] += 1
    assert counted.outcomes == {"ok": 3, "timeout": 2, "queue_full": 1}


def test_a_bound_belongs_to_what_is_below() -> None:
    """As Prometheus has it: le is "less or equal"."""
    for index, bound in enumerate(BOUNDS_S):
        counted = CallStatistics()
        counted.succeeded(bound)
        counted.succeeded(bound * 1.0001)
        assert (counted.buckets[index], counted.buckets[index + 1]) == (1, 1)


@given(st.lists(st.floats(0, 1000), max_size=50), st.lists(st.floats(0, 1000), max_size=50))
def test_every_call_is_in_one_bucket(good: list[float], bad: list[float]) -> None:
    counted = CallStatistics()
    for seconds in good:
        counted.succeeded(seconds)
    for seconds in bad:
        counted.failed(seconds, "function_failed")
    assert sum(counted.buckets) == len(good) + len(bad)
    assert counted.outcomes["ok"] == len(good)
    assert abs(counted.seconds - sum(good) - sum(bad)) < 1e-6 * (1 + counted.seconds)
