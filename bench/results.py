"""What a run has measured: numbers by row, step and round, and why others are missing.

Runs in: bench/run.py.
"""

import statistics
from dataclasses import dataclass, field

__all__ = ["Results"]


@dataclass
class Results:
    """Numbers as ``numbers[row][step.name][round]`` and reasons as ``failures[row][step]``.

    A step that failed in a round has None there, so that rounds of different rows line up.
    ``broken[row]`` is the reason why a row could not be measured at all.
    """

    numbers: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    failures: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def record(self, row: str, step: str, round_: int, numbers: dict[str, float]) -> None:
        """Keep one round's numbers of one step."""
        for name, number in numbers.items():
            series = self.numbers.setdefault(row, {}).setdefault(f"{step}.{name}", [])
            series += [None] * (round_ - len(series))
            series.append(number)

    def record_failure(self, row: str, step: str, reason: str) -> None:
        """Keep the reason why a step of a row failed in a round."""
        self.failures.setdefault(row, {}).setdefault(step, []).append(reason)

    def failed(self, row: str, step: str) -> list[str]:
        """Return the reasons of the step's failures so far."""
        return self.failures.get(row, {}).get(step, [])

    def values(self, row: str, metric: str) -> list[float]:
        """Return every number measured of a metric such as ``tiny.p50_us``."""
        series = self.numbers.get(row, {}).get(metric, [])
        return [number for number in series if number is not None]

    def median(self, row: str, metric: str) -> float | None:
        """Return the median over rounds, or None when nothing was measured."""
        values = self.values(row, metric)
        return statistics.median(values) if values else None

    def ratio(
        self, row: str, other: str, metric: str, other_metric: str | None = None
    ) -> float | None:
        """Return the median, over rounds that have both, of ``row`` over ``other``.

        ``other_metric`` is what is taken of ``other``, where that is not the same.
        """
        mine = self.numbers.get(row, {}).get(metric, [])
        theirs = self.numbers.get(other, {}).get(other_metric or metric, [])
        # The shorter list ends the pairs: its row failed from there on.
        ratios = [a / b for a, b in zip(mine, theirs, strict=False) if a is not None and b]
        return statistics.median(ratios) if ratios else None
