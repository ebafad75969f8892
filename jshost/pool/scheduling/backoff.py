"""Pauses that grow with each failure.

Runs in: host, programs that embed.
"""

from __future__ import annotations

__all__ = ["Backoff", "pause_s"]


def pause_s(failures: int, first_s: float, longest_s: float) -> float:
    """How long to wait after so many failures in a row: twice as long after each."""
    return min(first_s * 2.0 ** min(max(failures, 1) - 1, 30), longest_s)


class Backoff:
    """When to try again after failures."""

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0
        """No attempt is made before then."""

    def succeeded(self) -> None:
        self.failures, self.until = 0, 0.0

    def failed(self, first_s: float, longest_s: float, now: float) -> None:
        self.failures += 1
        self.until = now + pause_s(self.failures, first_s, longest_s)
