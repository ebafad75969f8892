"""Counts the calls of each function: how they ended, and how long they took.

Runs in: host, programs that embed. Counting a call takes a third of a microsecond;
`server/metrics.py` does the rest when the metrics are read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

__all__ = ["BOUNDS_S", "CallStatistics", "Statistics"]

BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""The upper ends of the buckets for durations; one more bucket has no upper end."""


class CallStatistics:
    """The calls of one function.

    Attributes:
        buckets: how many calls took how long; see `BOUNDS_S`.
        seconds: the sum of their durations.
        failures: how many of them failed, by the code of the error.
        others: calls that reached no worker, by code: refused, or not modified.
    """

    __slots__ = ("buckets", "failures", "others", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0
        self.failures: Counter[str] = Counter()
        self.others: Counter[str] = Counter()

    def succeeded(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        self.seconds += seconds

    def failed(self, seconds: float, code: str) -> None:
        self.succeeded(seconds)
        self.failures[code] += 1

    @property
    def outcomes(self) -> dict[str, int]:
        """The number of calls by outcome: "ok", or a code."""
        ok = sum(self.buckets) - self.failures.total()
        return {"ok": ok, **(self.failures + self.others)}


class Statistics(dict[str, CallStatistics]):
    """`CallStatistics` by function; only functions that were called are in it."""

    def __missing__(self, name: str) -> CallStatistics:
        found = self[name] = CallStatistics()
        return found
